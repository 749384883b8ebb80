import { openBackends } from '@knowalledge/generation'
import { createLogger, type Environment } from '@knowalledge/service-kit'
import { emulatorForTest } from '@knowalledge/testing'
import type { Test } from 'tap'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

/** The service over the in-memory backends and an emulator of the test's own. */
export async function build(t: Test, env: Environment = {}) {
  const emulator = await emulatorForTest(t)
  const config = loadConfig({
    REDIS_ENABLED: 'false',
    GEMINI_BASE_URL: emulator.baseUrl,
    GEMINI_API_KEY: 'test-key',
    ...env,
  })
  const logger = createLogger({ level: 'silent', pretty: false })
  const backends = await openBackends(config, logger)
  const app = await buildApp({ config, backends, logger })
  t.teardown(async () => {
    await app.close()
    await backends.close()
  })
  return { app, emulator, backends }
}

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
