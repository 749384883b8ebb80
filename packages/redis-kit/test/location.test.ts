import t from 'tap'
import { cacheRedisConfig, redisLocation } from '../src/index.ts'

const base = {
  REDIS_ENABLED: true,
  REDIS_HOST: 'localhost',
  REDIS_PORT: 6379,
  REDIS_DB: 0,
  REDIS_SENTINEL_NAME: 'mymaster',
}

t.test('a URL goes before the parts', async (t) => {
  t.same(redisLocation({ ...base, REDIS_URL: 'redis://cache:6380/3' }), { host: 'cache', port: 6380, db: 3 })
  t.same(redisLocation({ ...base, REDIS_DB: 2, REDIS_URL: 'redis://cache' }), { host: 'cache', port: 6379, db: 2 })
  t.same(redisLocation({ ...base, REDIS_URL: 'rediss://me:p%40ss@[::1]:6390' }), {
    host: '::1',
    port: 6390,
    db: 0,
    username: 'me',
    password: 'p@ss',
    tls: {},
  })
})

t.test('REDIS_PASSWORD is for a URL without a password', async (t) => {
  const [own, none] = ['redis://:own@cache', 'redis://cache'].map((url) =>
    redisLocation({ ...base, REDIS_PASSWORD: 'common', REDIS_URL: url }),
  )
  t.match([own, none], [{ password: 'own' }, { password: 'common' }])
})

t.test('the cache has a server of its own when it is named, whatever form the other one has', async (t) => {
  const config = { ...base, REDIS_DB: 2, REDIS_SENTINELS: 'a:1', REDIS_CLUSTER_NODES: 'b:2', REDIS_PASSWORD: 'x' }
  t.equal(cacheRedisConfig(config), config)
  const cache = cacheRedisConfig({ ...config, CACHE_REDIS_URL: 'redis://cache' })
  t.same(redisLocation(cache), { host: 'cache', port: 6379, db: 0, password: 'x' })
  t.notOk(cache.REDIS_CLUSTER_NODES)
  t.equal(redisLocation(cacheRedisConfig({ ...cache, REDIS_ENABLED: false })), undefined)
})

t.test('the parts count without a URL, and nothing when it is switched off', async (t) => {
  t.same(redisLocation({ ...base, REDIS_PASSWORD: 'x' }), { host: 'localhost', port: 6379, db: 0, password: 'x' })
  t.equal(redisLocation({ ...base, REDIS_ENABLED: false, REDIS_URL: 'redis://cache' }), undefined)
})

t.test('sentinels go before a host, and ports have their defaults', async (t) => {
  t.same(redisLocation({ ...base, REDIS_SENTINELS: 'a:1, b' }), {
    sentinels: [
      { host: 'a', port: 1 },
      { host: 'b', port: 26_379 },
    ],
    name: 'mymaster',
    db: 0,
  })
})
