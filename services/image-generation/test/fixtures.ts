import { openBackends } from '@knowalledge/generation'
import { createLogger, type Environment } from '@knowalledge/service-kit'
import { emulatorForTest } from '@knowalledge/testing'
import type { Test } from 'tap'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

/** The service over the in-memory twins and an emulator of the test's own. */
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
  const post = (url: string, payload: object | string, headers: Record<string, string> = {}) =>
    app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json', ...headers } })
  return { app, emulator, backends, post }
}
