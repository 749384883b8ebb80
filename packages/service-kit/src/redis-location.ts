import type { RedisOptions } from 'ioredis'

export interface RedisConfig {
  REDIS_ENABLED: boolean
  REDIS_URL?: string
  REDIS_HOST: string
  REDIS_PORT: number
  REDIS_DB: number
  REDIS_PASSWORD?: string
}

/** Where Redis is, as ioredis takes it; undefined when it is switched off. A `rediss://` URL means TLS. */
export function redisLocation(config: RedisConfig): RedisOptions | undefined {
  if (!config.REDIS_ENABLED) return undefined
  if (config.REDIS_URL === undefined) {
    return {
      host: config.REDIS_HOST,
      port: config.REDIS_PORT,
      db: config.REDIS_DB,
      ...(config.REDIS_PASSWORD === undefined ? {} : { password: config.REDIS_PASSWORD }),
    }
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
