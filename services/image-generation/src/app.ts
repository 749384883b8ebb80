import { type Backends, createGenerationApp } from '@knowalledge/generation'
import type { App, Logger } from '@knowalledge/service-kit'
import type { Config } from './config.ts'
import { generateImage } from './routes/generate-image.ts'
import { images } from './routes/images.ts'

export interface ImageGenerationOptions {
  config: Pick<Config, 'GEMINI_IMAGE_MODEL' | 'GEMINI_TIMEOUT_MS' | 'QUOTA_ADAPTIVE_ESTIMATES' | 'IMAGE_BACKEND'>
  backends: Backends
  logger: Logger
}

/** The image-generation service: a picture of a topic, and each picture again by its hash. */
export async function buildApp({ config, backends, logger }: ImageGenerationOptions): Promise<App> {
  const { app, tools } = await createGenerationApp({
    service: 'image-generation',
    description: 'A picture of a topic.',
    model: config.GEMINI_IMAGE_MODEL,
    operations: ['generate_image'],
    config,
    backends,
    logger,
  })
  generateImage(app, tools, config.IMAGE_BACKEND)
  images(app, tools)
  return app
}
