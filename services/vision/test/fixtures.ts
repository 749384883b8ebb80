import { serviceForTest } from '@knowalledge/generation/testing'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

export const build = serviceForTest({ buildApp, loadConfig })

export interface Part {
  name: string
  content: Uint8Array | string
  filename?: string
  type?: string
}

/** A multipart/form-data request as a browser sends it. */
export function form(...parts: Part[]) {
  const boundary = '----knowalledge-test'
  const chunks = parts.flatMap(({ name, content, filename, type }) => [
    `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${filename === undefined ? '' : `; filename="${filename}"`}\r\n`,
    `${type === undefined ? '' : `content-type: ${type}\r\n`}\r\n`,
    content,
    '\r\n',
  ])
  return {
    method: 'POST' as const,
    url: '/api/image2topic',
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    payload: Buffer.concat([...chunks, `--${boundary}--\r\n`].map((chunk) => Buffer.from(chunk as string))),
  }
}

export const image = (content: Uint8Array | string, filename = 'image.png', type = 'image/png'): Part => ({
  name: 'image',
  content,
  filename,
  type,
})
