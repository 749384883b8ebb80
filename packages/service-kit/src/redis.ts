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

/** For `/ready`. Redis is never required: without it quota is kept low and cached answers come from memory. */
export function redisCheck(redis: Redis | Cluster | undefined): ReadyCheck {
  return {
    required: false,
    async check() {
      if (!redis) return { status: 'disabled', ok: true }
      await redis.ping()
      return { status: 'healthy', ok: true }
    },
  }
}

type RedisFault = { state: 'degraded' | 'recovered'; cause?: unknown }

/** What the clients over Redis tell of it: each change is logged, and `circuit` is open while any of them goes on without it. */
export function redisFaults(log: Logger) {
  const goingOnWithout = new Set<string>()
  return {
    /** The `onFault` of one client. */
    of(part: string) {
      return ({ state, cause }: RedisFault): void => {
        if (state === 'recovered') {
          goingOnWithout.delete(part)
          log.info({ part }, 'Redis is back')
        } else {
          goingOnWithout.add(part)
          log.warn({ part, err: cause }, 'Redis does not answer: going on without it')
        }
      }
    },
    circuit: (): CircuitState => (goingOnWithout.size > 0 ? 'open' : 'closed'),
  }
}
