import { createGenerationApp, type ServiceOptions } from '@knowalledge/generation'
import type { App } from '@knowalledge/service-kit'
import type { Config } from './config.ts'
import { image2Topic } from './routes/image2topic.ts'

/** The vision service: the topic of an image. */
export async function buildApp({ config, backends, logger }: ServiceOptions<Config>): Promise<App> {
  const { app, tools } = await createGenerationApp({
    service: 'vision',
    description: 'The topic of an image.',
    chain: 'vision',
    operations: ['image2topic'],
    config,
    backends,
    logger,
  })
  image2Topic(app, { tools, maxUploadBytes: config.UPLOAD_MEMORY_MEGABYTES * 1024 * 1024 })
  return app
}
