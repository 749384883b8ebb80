import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis'
import type { Log } from './faults.ts'
import type { RedisConfig } from './settings.ts'

export type RedisConnection = Redis | Cluster

/** How long a starting process waits for Redis before it serves without it, in milliseconds. */
const connectTimeoutMs = 2_000

const retryStrategy = (attempt: number) => Math.min(20 * attempt, 500)

const safety = {
  autoResendUnfulfilledCommands: false, // the default executed 90 % of the commands in flight twice after a cut
  maxRetriesPerRequest: 0,
  enableOfflineQueue: false,
  retryStrategy,
} satisfies RedisOptions

/** Options of every connection: nothing is sent twice, and nothing waits for long. */
export function redisOptions(options: RedisOptions = {}): RedisOptions {
  // Without a command timeout promises would never settle while Redis hangs.
  return { commandTimeout: 500, connectTimeout: 1_000, ...options, ...safety }
}

/** The same for an ioredis `Cluster`. */
export function clusterOptions(options: ClusterOptions = {}): ClusterOptions {
  return {
    ...options,
    enableOfflineQueue: false,
    retryDelayOnFailover: 0, // a command whose connection closed would be sent again
    clusterRetryStrategy: retryStrategy,
    redisOptions: redisOptions(options.redisOptions),
  }
}

/**
 * A connection to the configured Redis (one server, the one that sentinels name, or a cluster), or undefined when Redis
 * is switched off. A Redis that cannot be reached does not stop a start: ioredis keeps trying, and the clients over it
 * report that they are degraded.
 */
export async function connectRedis(
  config: RedisConfig,
  { log, commandTimeoutMs = 500 }: { log: Log; commandTimeoutMs?: number },
): Promise<RedisConnection | undefined> {
  const location = redisLocation(config)
  if (!location) return undefined
  const options = { ...location, commandTimeout: commandTimeoutMs }
  const redis =
    config.REDIS_CLUSTER_NODES === undefined
      ? new Redis(redisOptions({ ...options, lazyConnect: true }))
      : clusterOf(config.REDIS_CLUSTER_NODES, options)
  redis.on('error', (error) => log.debug({ err: error }, 'redis connection failed'))
  const connected = redis.connect().then(
    () => true,
    () => false, // the reason came as an `error` event; ioredis keeps trying
  )
  const inTime = await Promise.race([connected, sleep(connectTimeoutMs, false, { ref: false })])
  if (!inTime) log.warn({}, 'redis unavailable at the start, retrying in the background')
  return redis
}

function clusterOf(nodes: string, { host: _host, port: _port, db: _db, ...redisOptions }: RedisOptions): Cluster {
  return new Cluster(hostPorts(nodes, 6_379), clusterOptions({ redisOptions, lazyConnect: true }))
}

/**
 * A second connection to the same Redis, for messages: a connection that has subscribed can do nothing else. It connects
 * by itself, for as long as it takes, and does not subscribe again after a cut: messages were missed then.
 */
export function subscriberTo(redis: RedisConnection): RedisConnection {
  const retry = (attempt: number) => Math.min(attempt * 50, 1_000)
  if (redis instanceof Cluster) return redis.duplicate([], { clusterRetryStrategy: retry, lazyConnect: false })
  return redis.duplicate({
    autoResubscribe: false,
    enableOfflineQueue: true,
    lazyConnect: false,
    maxRetriesPerRequest: null,
    retryStrategy: retry,
  })
}

type Command = (...keysAndArguments: (string | number)[]) => Promise<unknown>

interface ScriptOptions {
  /** Names the command on the connection. */
  name: string
  lua: string
  /** Absent: the first argument of each call. */
  numberOfKeys?: number
  /** True: replies are Buffers instead of strings. */
  binaryReplies?: boolean
}

/** Registers a Lua script on a connection and returns the function that calls it. It survives a restart of Redis. */
export function defineScript(
  redis: RedisConnection,
  { name, lua, numberOfKeys, binaryReplies }: ScriptOptions,
): Command {
  redis.defineCommand(name, numberOfKeys === undefined ? { lua } : { lua, numberOfKeys })
  // ioredis adds a method at run time, and one whose replies are Buffers: its types cannot know them.
  const commands = redis as unknown as Record<string, Command>
  const command = commands[binaryReplies ? `${name}Buffer` : name]
  if (!command) throw new Error(`ioredis did not define the script ${name}`)
  return command.bind(redis)
}

/** Where Redis is, as ioredis takes it; undefined when it is switched off. A `rediss://` URL means TLS. */
export function redisLocation(config: RedisConfig): RedisOptions | undefined {
  if (!config.REDIS_ENABLED) return undefined
  if (config.REDIS_URL === undefined) {
    const { REDIS_DB: db, REDIS_PASSWORD, REDIS_SENTINELS } = config
    const where =
      REDIS_SENTINELS === undefined
        ? { host: config.REDIS_HOST, port: config.REDIS_PORT }
        : { sentinels: hostPorts(REDIS_SENTINELS, 26_379), name: config.REDIS_SENTINEL_NAME }
    return { ...where, db, ...(REDIS_PASSWORD === undefined ? {} : { password: REDIS_PASSWORD }) }
  }
  const url = new URL(config.REDIS_URL)
  const password = url.password === '' ? config.REDIS_PASSWORD : decodeURIComponent(url.password)
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    db: Number(url.pathname.slice(1) || config.REDIS_DB),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(password === undefined ? {} : { password }),
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
  }
}

/** The settings for the cache's connection: those of CACHE_REDIS_URL, or of the Redis for everything. */
export function cacheRedisConfig(config: RedisConfig): RedisConfig {
  const { CACHE_REDIS_URL: url, REDIS_SENTINELS: _sentinels, REDIS_CLUSTER_NODES: _nodes, ...common } = config
  return url === undefined ? config : { ...common, REDIS_DB: 0, REDIS_URL: url }
}

/** `a:7000, b` → a on 7000, b on the default port. */
function hostPorts(commaSeparated: string, defaultPort: number): { host: string; port: number }[] {
  return commaSeparated.split(',').map((entry) => {
    const [host = '', port] = entry.trim().split(':')
    return { host, port: port === undefined ? defaultPort : Number(port) }
  })
}
