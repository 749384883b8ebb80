import type { App } from '@knowalledge/service-kit'
import { createLogger, type Environment } from '@knowalledge/service-kit'
import { emulatorForTest, type TestContext } from '@knowalledge/testing'
import { openBackends, type ServiceConfig, type ServiceOptions } from '../src/index.ts'

interface Service<Config extends ServiceConfig> {
  buildApp: (options: ServiceOptions<Config>) => Promise<App>
  loadConfig: (env: Environment) => Config
}

/** A function that builds a service in memory, over an emulator of its own, and closes both with the test. */
export function serviceForTest<Config extends ServiceConfig>({ buildApp, loadConfig }: Service<Config>) {
  return async (t: TestContext, env: Environment = {}) => {
    const emulator = await emulatorForTest(t)
    const gemini = { GEMINI_BASE_URL: emulator.baseUrl, GEMINI_API_KEY: 'test-key' }
    const config = loadConfig({ REDIS_ENABLED: 'false', ...gemini, ...env })
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
}
