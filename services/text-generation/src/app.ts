import { type Backends, createGeneration } from '@knowalledge/generation'
import { createMetrics } from '@knowalledge/metrics'
import { type App, createServiceApp, errorStatus, type Logger } from '@knowalledge/service-kit'
import type { Config } from './config.ts'
import { createPresentation } from './routes/create-presentation.ts'
import { createSubtopics } from './routes/create-subtopics.ts'
import { explanation } from './routes/explanation.ts'

export interface TextGenerationOptions {
  config: Pick<Config, 'GEMINI_TEXT_MODEL' | 'GEMINI_TIMEOUT_MS'>
  backends: Backends
  logger: Logger
}

/** The text-generation service: subtopics of a topic, and explanations of them. */
export async function buildApp({ config, backends, logger }: TextGenerationOptions): Promise<App> {
  const { quota, cache, gemini, checks, redisCircuit } = backends
  const metrics = createMetrics({
    models: [config.GEMINI_TEXT_MODEL],
    operations: ['create_subtopics', 'create_presentation'],
    errorTypes: Object.keys(errorStatus),
  })
  const generation = createGeneration({ quota, cache, metrics, timeoutMs: config.GEMINI_TIMEOUT_MS })
  const app = await createServiceApp({
    service: 'text-generation',
    description: 'Subtopics of a topic, and explanations of them.',
    logger,
    metrics,
    checks,
    quota: () => quota.usage(),
    cacheItems: () => cache.counts(),
    redisCircuit,
  })
  const tools = { generation, gemini, metrics }
  createSubtopics(app, tools)
  createPresentation(app, tools)
  explanation(app, tools)
  return app
}
