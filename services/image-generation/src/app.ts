import { type Backends, createGeneration } from '@knowalledge/generation'
import { createMetrics } from '@knowalledge/metrics'
import { type App, createServiceApp, errorStatus, type Logger } from '@knowalledge/service-kit'
import type { Config } from './config.ts'
import { generateImage } from './routes/generate-image.ts'
import { images } from './routes/images.ts'

export interface ImageGenerationOptions {
  config: Pick<Config, 'GEMINI_IMAGE_MODEL' | 'GEMINI_TIMEOUT_MS' | 'IMAGE_BACKEND'>
  backends: Backends
  logger: Logger
}

/** The image-generation service: a picture of a topic, and each picture again by its hash. */
export async function buildApp({ config, backends, logger }: ImageGenerationOptions): Promise<App> {
  const { quota, cache, gemini, checks, redisCircuit } = backends
  const metrics = createMetrics({
    models: [config.GEMINI_IMAGE_MODEL],
    operations: ['generate_image'],
    errorTypes: Object.keys(errorStatus),
  })
  const generation = createGeneration({ quota, cache, metrics, timeoutMs: config.GEMINI_TIMEOUT_MS })
  const app = await createServiceApp({
    service: 'image-generation',
    description: 'A picture of a topic.',
    logger,
    metrics,
    checks,
    quota: () => quota.usage(),
    cacheItems: () => cache.counts(),
    redisCircuit,
  })
  generateImage(app, { generation, gemini, metrics, cache, imageBackend: config.IMAGE_BACKEND })
  images(app, { cache })
  return app
}
