import { type Static, Type } from 'typebox'

const hostsWithPorts = (description: string, port: number) =>
  Type.Optional(
    Type.String({
      description,
      pattern: '^\\s*[^\\s,:]+(:\\d{1,5})?\\s*(,\\s*[^\\s,:]+(:\\d{1,5})?\\s*)*$',
      expectation: `hosts with ports, separated by commas, such as redis-a:${port},redis-b:${port}`,
    }),
  )

/** Where Redis is, as environment variables. */
export const redisSettings = {
  REDIS_ENABLED: Type.Boolean({
    description: 'false: no Redis; quota and cache are kept in memory, for a single process',
    default: true,
  }),
  REDIS_URL: Type.Optional(
    Type.String({
      description: 'Redis as one URL; takes precedence over REDIS_HOST and the others',
      pattern: '^rediss?://',
      expectation: 'a redis:// or rediss:// URL',
    }),
  ),
  CACHE_REDIS_URL: Type.Optional(
    Type.String({
      description:
        'Redis of the cache as one URL, with REDIS_PASSWORD unless it has a password. Default: the same Redis',
      pattern: '^rediss?://',
      expectation: 'a redis:// or rediss:// URL',
    }),
  ),
  REDIS_HOST: Type.String({ description: 'Host of Redis', default: 'localhost' }),
  REDIS_PORT: Type.Integer({ description: 'Port of Redis', default: 6379, minimum: 1, maximum: 65_535 }),
  REDIS_DB: Type.Integer({ description: 'Database number in Redis', default: 0, minimum: 0, maximum: 1_000_000 }),
  REDIS_SENTINELS: hostsWithPorts('Sentinels that know where Redis is, instead of REDIS_HOST', 26_379),
  REDIS_SENTINEL_NAME: Type.String({
    description: 'Name of the master that the sentinels watch',
    default: 'mymaster',
  }),
  REDIS_CLUSTER_NODES: hostsWithPorts('Some nodes of a Redis Cluster, instead of REDIS_HOST', 6_379),
  REDIS_PASSWORD: Type.Optional(Type.String({ description: 'Password of Redis' })),
}

const schema = Type.Object(redisSettings)
export type RedisConfig = Readonly<Static<typeof schema>>
