import { setTimeout as sleep } from 'node:timers/promises'
import type { CircuitState } from '@knowalledge/metrics'
import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis'
import type { Logger } from 'pino'
import type { ReadyCheck } from './readiness.ts'
import { hostPorts, type RedisConfig, redisLocation } from './redis-location.ts'

/** How long a starting process waits for Redis before it serves without it, in milliseconds. */
const connectPatienceMs = 2_000

/** How a connection behaves, whichever form Redis has. */
export interface RedisProfile {
  single: RedisOptions
  cluster: ClusterOptions
}

/**
 * A connection to the configured Redis (one server, the one that sentinels name, or a cluster), or undefined when Redis
 * is switched off. A Redis that cannot be reached is no reason not to start: ioredis goes on trying, and the clients
 * over it say when they are degraded.
 */
export async function connectRedis(
  config: RedisConfig,
  profile: RedisProfile,
  log: Logger,
): Promise<Redis | Cluster | undefined> {
  const redis = create(config, profile)
  if (!redis) return undefined
  redis.on('error', (error) => log.debug({ err: error }, 'Redis connection'))
  const connected = redis.connect().then(
    () => true,
    () => false, // the reason came as an `error` event; trying goes on
  )
  const inTime = await Promise.race([connected, sleep(connectPatienceMs, false, { ref: false })])
  if (!inTime) log.warn('Redis cannot be reached: starting without it, and trying on')
  return redis
}

function create(config: RedisConfig, { single, cluster }: RedisProfile): Redis | Cluster | undefined {
  const location = redisLocation(config)
  if (!location) return undefined
  if (config.REDIS_CLUSTER_NODES === undefined) return new Redis({ ...location, ...single, lazyConnect: true })
  const { host: _host, port: _port, db: _db, ...credentials } = location
  const redisOptions = { ...credentials, ...cluster.redisOptions }
  return new Cluster(hostPorts(config.REDIS_CLUSTER_NODES, 6_379), { ...cluster, redisOptions, lazyConnect: true })
}

/** For `/ready` of a process without Redis. */
export const redisDisabled: ReadyCheck = { required: false, check: async () => ({ status: 'disabled', ok: true }) }

type RedisFault = { state: 'degraded' | 'recovered'; cause?: unknown; reason?: string }

/** What an operator can do when Redis cannot be used, by why it cannot. */
const remedies: Record<string, string> = {
  unreachable: 'Start Redis, or set REDIS_ENABLED=false to run a single process without it.',
  full: 'Redis has reached its maxmemory: make room, or raise it.',
  read_only: 'Redis is a read-only replica: point REDIS_* at the primary, or finish the failover.',
  no_replicas: 'Redis takes no writes without its replicas (min-replicas-to-write): start a replica.',
  not_persisted: 'Redis takes no writes because it cannot save to its disk: make room there.',
}

function redisRemedy(reason: string): string {
  return remedies[reason] ?? 'Redis answers with an error: see the log of this process and of Redis.'
}

/** For `/ready`: what the quota last saw of Redis, which is whether it takes writes, not only whether it answers. */
export function quotaChecks(
  quota: { health(): QuotaHealth; usage(): Promise<unknown> },
  { isObserver }: { isObserver: boolean },
): { redis: ReadyCheck; quota: ReadyCheck } {
  let reading: Promise<unknown> | undefined
  const health = async () => {
    // An observer has no heartbeats, and a member that has just started no answer yet. Both checks share one reading.
    if (isObserver || quota.health().state === 'joining') {
      reading ??= quota.usage().finally(() => {
        reading = undefined
      })
      await reading
    }
    return quota.health()
  }
  return {
    redis: {
      required: false,
      async check() {
        const seen = await health()
        if (seen.state !== 'unavailable') return { status: 'healthy', ok: true }
        return { status: seen.cause, ok: false, remedy: redisRemedy(seen.cause) }
      },
    },
    quota: {
      required: false,
      async check() {
        const { state, ...details } = await health()
        const shown =
          'endsInMs' in details ? { cause: details.cause, ends_in_seconds: Math.ceil(details.endsInMs / 1000) } : {}
        const instances =
          'maxInstances' in details ? { instances: details.instances, max_instances: details.maxInstances } : {}
        return { status: state, ok: state === 'serving', ...shown, ...instances }
      },
    },
  }
}

/** quota-client's QuotaHealth. */
type QuotaHealth =
  | { state: 'joining' | 'serving' }
  | { state: 'hold'; cause: string; endsInMs: number }
  | { state: 'unavailable'; cause: string }
  | { state: 'too_many_instances'; instances: number; maxInstances: number }

/** Logs each hold of the quota. */
export function logHolds(log: Logger) {
  return ({ cause, endsInMs }: { cause: string; endsInMs: number }): void =>
    log.warn({ cause, ends_in_seconds: Math.ceil(endsInMs / 1000) }, 'quota on hold: no new answers until it ends')
}

/** What the clients over Redis notify: each change is logged, and `circuit` is open while any of them is degraded. */
export function redisFaults(log: Logger) {
  const degraded = new Set<string>()
  return {
    /** The `onFault` of one client. */
    of(part: string) {
      return ({ state, cause, reason }: RedisFault): void => {
        if (state === 'recovered') {
          degraded.delete(part)
          log.info({ part }, 'redis available again, leaving degraded mode')
        } else {
          degraded.add(part)
          const remedy = reason && redisRemedy(reason)
          log.warn({ part, reason, remedy, err: cause }, 'redis unavailable, entering degraded mode')
        }
      }
    },
    circuit: (): CircuitState => (degraded.size > 0 ? 'open' : 'closed'),
  }
}
