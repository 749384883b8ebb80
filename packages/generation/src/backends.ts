import { createGemini, type Gemini } from '@knowalledge/gemini'
import type { CircuitState } from '@knowalledge/metrics'
import { createQuotaClient, type QuotaClient } from '@knowalledge/quota-client'
import {
  cacheRedisConfig,
  connectRedis,
  type RedisConfig,
  type RedisConnection,
  redisFaults,
  remedyFor,
  type UnavailableCause,
} from '@knowalledge/redis-kit'
import { createResponseCache, type ResponseCache } from '@knowalledge/response-cache'
import {
  HttpError,
  type Logger,
  logHolds,
  type QuotaConfig,
  quotaChecks,
  quotaOptions,
  type ReadyCheck,
  redisDisabled,
} from '@knowalledge/service-kit'

export interface BackendsConfig extends RedisConfig, QuotaConfig {
  CACHE_MEMORY_TTL_SECONDS: number
  CACHE_REDIS_TTL_SECONDS: number
  CACHE_STALE_TTL_SECONDS: number
  CACHE_MAX_ITEMS: number
  CACHE_MAX_MEGABYTES: number
  CACHE_REDIS_MAX_IMAGES: number
  CACHE_REDIS_MAX_IMAGE_MEGABYTES: number
  GEMINI_API_KEY?: string
  GOOGLE_API_KEY?: string
  GEMINI_BASE_URL: string
  GEMINI_TEXT_MODEL: string
  GEMINI_VISION_MODEL: string
  GEMINI_IMAGE_MODEL: string
  IMAGE_BACKEND: 'gemini' | 'imagen'
}

/** What stands behind a service: the shared quota, the shared cache, and Google. */
export interface Backends {
  quota: QuotaClient
  cache: ResponseCache
  gemini: Gemini
  /** For `/ready`. */
  checks: Record<string, ReadyCheck>
  /** For the metrics: how quota and cache find Redis. Absent without it. */
  redisCircuit?: (() => CircuitState) | undefined
  isCacheWritable?: (() => boolean) | undefined
  /** The quota's connection (absent without Redis), for others in this process, and whom to tell when it fails them. */
  shared: { redis: RedisConnection | undefined; faultsOf: ReturnType<typeof redisFaults>['of'] }
  close(): Promise<void>
}

/** A cached picture may take longer to arrive than a verdict on quota. Milliseconds. */
const cacheCommandTimeoutMs = 250

/** Connects a process's backends. A Redis that cannot be reached is no reason not to start: the process is degraded until it can. */
export async function openBackends(config: BackendsConfig, log: Logger): Promise<Backends> {
  // Two connections, to one server or two: a large cached picture must not delay a reservation.
  const [quotaRedis, cacheRedis] = await Promise.all([
    connectRedis(config, { log }),
    connectRedis(cacheRedisConfig(config), { log, commandTimeoutMs: cacheCommandTimeoutMs }),
  ])
  const faults = redisFaults(log)
  const quota = createQuotaClient({
    redis: quotaRedis,
    ...quotaOptions(config),
    onFault: faults.of('quota'),
    onHold: logHolds(log),
  })
  const cache = createResponseCache({
    redis: cacheRedis,
    ...cacheOptions(config),
    onFault: faults.of('cache'),
  })
  const apiKey = config.GEMINI_API_KEY ?? config.GOOGLE_API_KEY
  const gemini = createGemini({
    ...(apiKey === undefined ? {} : { apiKey }),
    baseUrl: config.GEMINI_BASE_URL,
    textModel: config.GEMINI_TEXT_MODEL,
    visionModel: config.GEMINI_VISION_MODEL,
    imageModel: config.GEMINI_IMAGE_MODEL,
    imageBackend: config.IMAGE_BACKEND,
  })
  if (apiKey === undefined) log.warn('GEMINI_API_KEY is not set: every answer that is not cached will be a 503')
  return {
    quota,
    cache,
    gemini,
    checks: {
      ...(quotaRedis ? quotaChecks(quota, { isObserver: false }) : { redis: redisDisabled }),
      ...(cacheRedis && { cache: cacheCheck(() => faults.causeOf('cache')) }),
      gemini: geminiCheck(apiKey !== undefined),
    },
    redisCircuit: quotaRedis && faults.circuit,
    isCacheWritable: cacheRedis && (() => faults.causeOf('cache') === undefined),
    shared: { redis: quotaRedis, faultsOf: faults.of },
    async close() {
      await Promise.all([quota.close(), cache.close(), gemini.close()])
      for (const redis of [quotaRedis, cacheRedis]) redis?.disconnect()
    },
  }
}

/** Without its Redis the cache goes on in memory: slower and not shared. */
function cacheCheck(causeNow: () => UnavailableCause | undefined): ReadyCheck {
  return {
    required: false,
    async check() {
      const cause = causeNow()
      return cause ? { status: cause, ok: false, remedy: remedyFor(cause) } : { status: 'healthy', ok: true }
    },
  }
}

function geminiCheck(configured: boolean): ReadyCheck {
  return {
    required: true,
    check: async () => (configured ? { status: 'configured', ok: true } : { status: 'not_configured', ok: false }),
  }
}

function cacheOptions(config: BackendsConfig) {
  return {
    memoryTtlMs: config.CACHE_MEMORY_TTL_SECONDS * 1000,
    redisTtlMs: config.CACHE_REDIS_TTL_SECONDS * 1000,
    staleTtlMs: config.CACHE_STALE_TTL_SECONDS * 1000,
    maxItems: config.CACHE_MAX_ITEMS,
    maxBytes: config.CACHE_MAX_MEGABYTES * 1024 * 1024,
    maxLargeValues: config.CACHE_REDIS_MAX_IMAGES,
    maxLargeBytes: config.CACHE_REDIS_MAX_IMAGE_MEGABYTES * 1024 * 1024,
    encodeError: (error: unknown) => (error instanceof HttpError ? error.toJSON() : undefined),
    decodeError: (encoded: unknown) => HttpError.fromJSON(encoded),
  }
}
