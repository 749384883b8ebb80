import { createGemini, type Gemini } from '@knowalledge/gemini'
import type { CircuitState } from '@knowalledge/metrics'
import {
  cacheRedisConfig,
  connectRedis,
  type RedisConnection,
  redisFaults,
  remedyFor,
  type UnavailableCause,
} from '@knowalledge/redis-kit'
import { createResponseCache, type ResponseCache } from '@knowalledge/response-cache'
import type { Logger, ReadyCheck } from '@knowalledge/service-kit'
import { type ClientBudget, createClientBudget } from './client-budget.ts'
import { decodeError, encodeError } from './errors.ts'
import { mapPools, openPools, type QuotaPool } from './pools.ts'
import { logHolds, quotaChecks, quotaOptions, redisDisabled } from './quota.ts'
import type { ServiceConfig } from './settings.ts'

/** A pool of quota, divided among clients. */
export interface ServicePool extends QuotaPool {
  budget: ClientBudget
}

/** What stands behind a service: the shared quota, the shared cache, and Google. */
export interface Backends {
  /** The one of the best text model first. */
  pools: readonly [ServicePool, ...ServicePool[]]
  cache: ResponseCache
  gemini: Gemini
  /** For `/ready`. */
  checks: Record<string, ReadyCheck>
  /** For the metrics: how quota and cache find Redis. Absent without it. */
  redisCircuit?: (() => CircuitState) | undefined
  isCacheWritable?: (() => boolean) | undefined
  /** The quota's connection (absent without Redis) and the process's log of faults, for other clients in this process. */
  shared: { redis: RedisConnection | undefined; faultsOf: ReturnType<typeof redisFaults>['of'] }
  close(): Promise<void>
}

/** A cached picture may take longer to arrive than a verdict on quota. Milliseconds. */
const cacheCommandTimeoutMs = 250

/** Connects the backends of a process. It starts without a Redis that cannot be reached, and is degraded until it can. */
export async function openBackends(config: ServiceConfig, log: Logger): Promise<Backends> {
  // Two connections, to one server or two: a large cached picture must not delay a reservation.
  const [quotaRedis, cacheRedis] = await Promise.all([
    connectRedis(config, { log }),
    connectRedis(cacheRedisConfig(config), { log, commandTimeoutMs: cacheCommandTimeoutMs }),
  ])
  const faults = redisFaults(log)
  const opened = openPools(config, {
    redis: quotaRedis,
    role: 'member',
    faultsOf: faults.of,
    onHold: logHolds(log),
  })
  const shared = (pool: QuotaPool): ServicePool => {
    const budget = createClientBudget({
      redis: quotaRedis,
      ...quotaOptions(config, pool),
      sharePerDay: config.CLIENT_SHARE_PER_DAY,
      onFault: faults.of('client budget'),
    })
    return { ...pool, budget }
  }
  const pools = mapPools(opened.pools, shared)
  const cache = createResponseCache({
    redis: cacheRedis,
    ...cacheOptions(config),
    onFault: faults.of('cache'),
  })
  const apiKey = config.GEMINI_API_KEY ?? config.GOOGLE_API_KEY
  const gemini = createGemini({
    ...(apiKey === undefined ? {} : { apiKey }),
    baseUrl: config.GEMINI_BASE_URL,
    imageBackend: config.IMAGE_BACKEND,
  })
  if (apiKey === undefined) log.warn('GEMINI_API_KEY is not set: every answer that is not cached will be a 503')
  return {
    pools,
    cache,
    gemini,
    checks: {
      ...(quotaRedis ? quotaChecks(pools, { isObserver: false }) : { redis: redisDisabled }),
      ...(cacheRedis && { cache: cacheCheck(() => faults.causeOf('cache')) }),
      gemini: geminiCheck(apiKey !== undefined),
    },
    redisCircuit: quotaRedis && faults.circuit,
    isCacheWritable: cacheRedis && (() => faults.causeOf('cache') === undefined),
    shared: { redis: quotaRedis, faultsOf: faults.of },
    async close() {
      await Promise.all([opened.close(), cache.close(), gemini.close()])
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

function cacheOptions(config: ServiceConfig) {
  return {
    memoryTtlMs: config.CACHE_MEMORY_TTL_SECONDS * 1000,
    redisTtlMs: config.CACHE_REDIS_TTL_SECONDS * 1000,
    staleTtlMs: config.CACHE_STALE_TTL_SECONDS * 1000,
    maxItems: config.CACHE_MAX_ITEMS,
    maxBytes: config.CACHE_MAX_MEGABYTES * 1024 * 1024,
    maxLargeValues: config.CACHE_REDIS_MAX_IMAGES,
    maxLargeBytes: config.CACHE_REDIS_MAX_IMAGE_MEGABYTES * 1024 * 1024,
    encodeError,
    decodeError,
  }
}
