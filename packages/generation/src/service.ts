import type { Gemini } from '@knowalledge/gemini'
import { createMetrics, type Endpoint, type Metrics } from '@knowalledge/metrics'
import type { ResponseCache } from '@knowalledge/response-cache'
import {
  type App,
  createLogger,
  createServiceApp,
  type Logger,
  processSnapshots,
  serve,
  start,
  startTracing,
  utf8Json,
} from '@knowalledge/service-kit'
import { Activity, serveSnapshot } from './activity.ts'
import { type Backends, openBackends } from './backends.ts'
import { apiError, errorStatus } from './errors.ts'
import { requireGateway } from './gateway-headers.ts'
import { createGeneration } from './generation.ts'
import type { Waiting } from './learning-reply.ts'
import { type Chain, type Chains, chainsOf } from './models.ts'
import { PlacesInLine } from './places-in-line.ts'
import { mapPools } from './pools.ts'
import { type ServiceConfig, type ThinkingBudgets, thinkingBudgetsOf } from './settings.ts'
import type { Generation } from './types.ts'

export interface ServiceOptions<Config extends ServiceConfig = ServiceConfig> {
  config: Config
  backends: Backends
  logger: Logger
}

interface GenerationAppOptions extends ServiceOptions {
  service: string
  /** One sentence for the docs. */
  description: string
  /** Whose models are the labels of the metrics. */
  chain: keyof Chains
  operations: Endpoint[]
}

/** What the routes of a service work with. */
export interface GenerationTools {
  generation: Generation
  /** The service's models, best first. */
  models: Chain
  thinkingBudgets: ThinkingBudgets
  gemini: Gemini
  metrics: Metrics
  cache: ResponseCache
  waiting: Waiting
}

/** The app of a service, ready for its routes, and what these work with. */
export async function createGenerationApp(
  options: GenerationAppOptions,
): Promise<{ app: App; tools: GenerationTools }> {
  const { service, description, chain, operations, config, backends, logger } = options
  const models = chainsOf(config)[chain]
  const { pools, cache, gemini, checks, redisCircuit, isCacheWritable } = backends
  const metrics = createMetrics({ models, operations, errorTypes: Object.keys(errorStatus) })
  const places = new PlacesInLine()
  const app = await createServiceApp({
    service,
    description,
    logger,
    metrics,
    checks,
    quotaPools: pools.map(({ name, quota }) => ({ name, usage: () => quota.usage() })),
    cacheItems: () => cache.counts(),
    waitingClients: () => places.clients,
    redisCircuit,
    isCacheWritable,
    listener: { host: config.HOST, port: config.METRICS_PORT },
  })
  await app.register(utf8Json)
  if (config.GATEWAY_SECRET !== undefined) requireGateway(app, config.GATEWAY_SECRET)
  const activity = new Activity()
  serveSnapshot(app, activity, processSnapshots({ service, metrics, logger }))
  const watched = mapPools(pools, (pool) => ({ ...pool, quota: activity.watchLine(pool.quota) }))
  const generation = createGeneration({
    poolOf: (model) => watched.find((pool) => pool.models.includes(model)) ?? watched[0],
    cache,
    metrics,
    timeoutMs: config.GEMINI_TIMEOUT_MS,
    adaptiveEstimates: config.QUOTA_ADAPTIVE_ESTIMATES,
    countedTokens: config.QUOTA_TOKENS,
  })
  const closing = new AbortController()
  app.addHook('preClose', async () => {
    closing.abort(apiError('service_unavailable', 'This instance is closing. Send the request again.'))
  })
  const waiting = {
    maxWaitSeconds: config.MAX_WAIT_SECONDS,
    maxStreamWaitSeconds: config.MAX_STREAM_WAIT_SECONDS,
    closing: closing.signal,
    places,
  }
  const counted = activity.countUse(generation)
  return {
    app,
    tools: { generation: counted, models, thinkingBudgets: thinkingBudgetsOf(config), gemini, metrics, cache, waiting },
  }
}

export interface ServiceDefinition<Config extends ServiceConfig> {
  name: string
  loadConfig: () => Config
  buildApp: (options: ServiceOptions<Config>) => Promise<App>
}

/** Runs a service as a process of its own, until it is told to stop. */
export async function runService<Config extends ServiceConfig>({
  name,
  loadConfig,
  buildApp,
}: ServiceDefinition<Config>): Promise<void> {
  await start(async () => {
    const config = loadConfig()
    const stopTracing = await startTracing({ service: name, endpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT })
    const logger = createLogger({ level: config.LOG_LEVEL })
    const backends = await openBackends(config, logger)
    const app = await buildApp({ config, backends, logger })
    app.addHook('onClose', async () => {
      await Promise.all([backends.close(), stopTracing()])
    })
    await serve(app, config)
  })
}
