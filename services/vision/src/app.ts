import { createGenerationApp, type ServiceOptions } from '@knowalledge/generation'
import type { App } from '@knowalledge/service-kit'
import { image2Topic } from './routes/image2topic.ts'

/** The vision service: the topic of a picture. */
export async function buildApp({ config, backends, logger }: ServiceOptions): Promise<App> {
  const { app, tools } = await createGenerationApp({
    service: 'vision',
    description: 'The topic of a picture.',
    model: config.GEMINI_VISION_MODEL,
    operations: ['image2topic'],
    config,
    backends,
    logger,
  })
  image2Topic(app, tools)
  return app
}
