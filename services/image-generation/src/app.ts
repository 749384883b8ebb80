import { createGenerationApp, type ServiceOptions } from '@knowalledge/generation'
import type { App } from '@knowalledge/service-kit'
import { generateImage } from './routes/generate-image.ts'
import { images } from './routes/images.ts'

/** The image-generation service: a picture of a topic, and each picture again by its hash. */
export async function buildApp({ config, backends, logger }: ServiceOptions): Promise<App> {
  const { app, tools } = await createGenerationApp({
    service: 'image-generation',
    description: 'A picture of a topic.',
    chain: 'image',
    operations: ['generate_image'],
    config,
    backends,
    logger,
  })
  generateImage(app, tools, config.IMAGE_BACKEND)
  images(app, tools)
  return app
}
