import { type Backends, createGeneration } from '@knowalledge/generation'
import { createMetrics } from '@knowalledge/metrics'
import { type App, createServiceApp, errorStatus, type Logger } from '@knowalledge/service-kit'
import type { Config } from './config.ts'
import { image2Topic } from './routes/image2topic.ts'

export interface VisionOptions {
  config: Pick<Config, 'GEMINI_VISION_MODEL' | 'GEMINI_TIMEOUT_MS'>
  backends: Backends
  logger: Logger
}

/** The vision service: the topic of a picture. */
export async function buildApp({ config, backends, logger }: VisionOptions): Promise<App> {
  const { quota, cache, gemini, checks, redisCircuit } = backends
  const metrics = createMetrics({
    models: [config.GEMINI_VISION_MODEL],
    operations: ['image2topic'],
    errorTypes: Object.keys(errorStatus),
  })
  const generation = createGeneration({ quota, cache, metrics, timeoutMs: config.GEMINI_TIMEOUT_MS })
  const app = await createServiceApp({
    service: 'vision',
    description: 'The topic of a picture.',
    logger,
    metrics,
    checks,
    quota: () => quota.usage(),
    cacheItems: () => cache.counts(),
    redisCircuit,
  })
  image2Topic(app, { generation, gemini, metrics })
  return app
}
