import type { RedisOptions } from 'ioredis'

export interface RedisConfig {
  REDIS_ENABLED: boolean
  REDIS_URL?: string
  REDIS_HOST: string
  REDIS_PORT: number
  REDIS_DB: number
  REDIS_PASSWORD?: string
  REDIS_SENTINELS?: string
  REDIS_SENTINEL_NAME: string
  REDIS_CLUSTER_NODES?: string
}

export interface HostPort {
  host: string
  port: number
}

/** `a:7000, b` → a on 7000, b on the default port. */
export function hostPorts(commaSeparated: string, defaultPort: number): HostPort[] {
  return commaSeparated.split(',').map((entry) => {
    const [host = '', port] = entry.trim().split(':')
    return { host, port: port === undefined ? defaultPort : Number(port) }
  })
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
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6379 : Number(url.port),
    db: Number(url.pathname.slice(1) || config.REDIS_DB),
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
  }
}
