import { openBackends } from '@knowalledge/generation'
import { createLogger, serve, start } from '@knowalledge/service-kit'
import { buildApp } from './app.ts'
import { loadConfig } from './config.ts'

await start(async () => {
  const config = loadConfig()
  const logger = createLogger({ level: config.LOG_LEVEL })
  const backends = await openBackends(config, logger)
  const app = await buildApp({ config, backends, logger })
  app.addHook('onClose', () => backends.close())
  await serve(app, config)
})
