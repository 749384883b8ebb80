import type { Gemini } from '@knowalledge/gemini'
import { createMetrics, type Endpoint, type Metrics } from '@knowalledge/metrics'
import type { ResponseCache } from '@knowalledge/response-cache'
import { type App, createServiceApp, errorStatus, type Logger, refuseOtherThanUtf8 } from '@knowalledge/service-kit'
import type { Backends } from './backends.ts'
import { createGeneration } from './generation.ts'
import type { Generation } from './types.ts'

export interface GenerationAppOptions {
  service: string
  /** One sentence for the docs. */
  description: string
  /** The configured model, a label of the metrics. */
  model: string
  operations: Endpoint[]
  config: { GEMINI_TIMEOUT_MS: number; QUOTA_ADAPTIVE_ESTIMATES: boolean }
  backends: Backends
  logger: Logger
}

/** What the routes of a service work with. */
export interface GenerationTools {
  generation: Generation
  gemini: Gemini
  metrics: Metrics
  cache: ResponseCache
}

/** An app as each service before Gemini has it, ready for its routes, and what these work with. */
export async function createGenerationApp(
  options: GenerationAppOptions,
): Promise<{ app: App; tools: GenerationTools }> {
  const { service, description, model, operations, config, backends, logger } = options
  const { quota, cache, gemini, checks, redisCircuit, isCacheWritable } = backends
  const metrics = createMetrics({ models: [model], operations, errorTypes: Object.keys(errorStatus) })
  const app = await createServiceApp({
    service,
    description,
    logger,
    metrics,
    checks,
    quota: () => quota.usage(),
    cacheItems: () => cache.counts(),
    redisCircuit,
    isCacheWritable,
  })
  refuseOtherThanUtf8(app)
  const generation = createGeneration({
    quota,
    cache,
    metrics,
    timeoutMs: config.GEMINI_TIMEOUT_MS,
    adaptiveEstimates: config.QUOTA_ADAPTIVE_ESTIMATES,
  })
  return { app, tools: { generation, gemini, metrics, cache } }
}
