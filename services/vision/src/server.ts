import { openBackends } from '@knowalledge/generation'
import { createLogger, serve, start, startTracing } from '@knowalledge/service-kit'
import { buildApp } from './app.ts'
import { loadConfig } from './config.ts'

await start(async () => {
  const config = loadConfig()
  const stopTracing = await startTracing({ service: 'vision', endpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT })
  const logger = createLogger({ level: config.LOG_LEVEL })
  const backends = await openBackends(config, logger)
  const app = await buildApp({ config, backends, logger })
  app.addHook('onClose', async () => {
    await Promise.all([backends.close(), stopTracing()])
  })
  await serve(app, config)
})
