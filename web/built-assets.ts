import { readFileSync } from 'node:fs'
import type { Asset } from './assets.ts'

type Serialized = [url: string, { type: string; etag: string; body: string; gzipped: string }]

/**
 * In a container image in the place of `assets.ts`: what that made when the image was built.
 * @public
 */
export function loadAssets(): Map<string, Asset> {
  const built = JSON.parse(readFileSync(new URL('./assets.json', import.meta.url), 'utf8')) as Serialized[]
  const buffer = (base64: string) => Buffer.from(base64, 'base64')
  return new Map(
    built.map(([url, { type, etag, body, gzipped }]) => [
      url,
      { type, etag, body: buffer(body), gzipped: buffer(gzipped) },
    ]),
  )
}

export function serializeAssets(assets: Map<string, Asset>): string {
  const base64 = (buffer: Buffer) => buffer.toString('base64')
  const built = [...assets].map(
    ([url, { type, etag, body, gzipped }]): Serialized => [
      url,
      { type, etag, body: base64(body), gzipped: base64(gzipped) },
    ],
  )
  return JSON.stringify(built)
}
