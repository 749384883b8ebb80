import { createHash } from 'node:crypto'
import type { Picture } from '@knowalledge/gemini'
import { UnusableAnswer } from '@knowalledge/generation'
import type { ResponseCache } from '@knowalledge/response-cache'

/** A drawn picture as it is cached and sent. */
export interface Drawing {
  base64: string
  mimeType: 'image/png' | 'image/jpeg'
  /** Of the picture's bytes, 64 hex digits. */
  sha256: string
}

const formats = { 'image/png': 'base64_png', 'image/jpeg': 'base64_jpeg' } as const

/** Says what the picture truly is; throws UnusableAnswer for anything but PNG and JPEG, which is what clients are promised. */
export function toDrawing({ bytes, mimeType }: Picture): Drawing {
  if (mimeType !== 'image/png' && mimeType !== 'image/jpeg') throw new UnusableAnswer(`the picture is ${mimeType}`)
  return {
    base64: Buffer.from(bytes).toString('base64'),
    mimeType,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  }
}

export function formatOf({ mimeType }: Drawing): 'base64_png' | 'base64_jpeg' {
  return formats[mimeType]
}

/** A hash leads to the cached answer that holds the picture, so that each picture is kept only once. */
export async function rememberByHash(cache: ResponseCache, { sha256 }: Drawing, answerKey: string): Promise<void> {
  await cache.set(`image:${sha256}`, { answerKey })
}

/** The picture with that hash, as long as the answer that holds it is kept. */
export async function findByHash(cache: ResponseCache, sha256: string): Promise<Drawing | undefined> {
  const reference = await cache.stale<{ answerKey: string }>(`image:${sha256}`)
  if (!reference) return undefined
  const answer = await cache.stale<Drawing>(reference.value.answerKey)
  return answer?.value.sha256 === sha256 ? answer.value : undefined
}
