import { redisServerForTest, type TestContext } from '@knowalledge/testing'
import type { Redis } from 'ioredis'
import t from 'tap'
import type { ResponseCacheOptions } from '../src/index.ts'
import { cacheForTest, mustNotProduce, Production, producing } from './fixtures/caches.ts'

const KIB = 1024
const tags = ['operation:create_subtopics', 'topic:light']

/** Instances on one Redis, with a connection to look behind them. */
async function instances(t: TestContext, count: number, options: ResponseCacheOptions = {}) {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  const caches = Array.from({ length: count }, () =>
    cacheForTest(t, { redis: server.connect(), redisTimeoutMs: 2_000, ...options }),
  )
  return { redis, caches: caches as [(typeof caches)[0], (typeof caches)[0], (typeof caches)[0]] }
}

/** Until all of them hear invalidations. */
async function subscribed(redis: Redis, count: number): Promise<void> {
  while ((await redis.pubsub('NUMSUB', 'cache:bus'))[1] !== count) await new Promise(setImmediate)
}

t.test('whatever is evicted while a claim leads and another waits, both are answered', async (t) => {
  const { redis, caches } = await instances(t, 2)
  const [a, b] = caches
  for (const what of ['value', 'lease', 'waiters', 'outcome', 'tags', 'large', 'all']) {
    const large = { value: what, padding: 'x'.repeat(65 * KIB) }
    const [led, other] = [new Production<unknown>(), new Production<unknown>()]
    await a.set(what, 'older', { tags })
    await a.invalidateTags(tags)
    const leading = await a.claim(what, { ...led, tags })
    const waiting = await b.claim(what, { ...other, tags })
    t.same([leading.state, waiting.state], ['lead', 'wait'], what)
    const evicted = (await redis.keys('*')).filter((key) => what === 'all' || key.startsWith(`cache:${what}`))
    if (evicted.length > 0) await redis.del(...evicted)
    led.deliver(large)
    other.deliver(large) // whoever finds no lease leads as well
    for (const { result } of [leading, waiting]) t.match(await result, { value: { value: what } }, what)
  }
})

t.test('an invalidated answer stays dead when Redis evicts the record of the invalidation', async (t) => {
  const { redis, caches } = await instances(t, 2)
  const [a, b] = caches
  await a.set('k', 'old', { tags })
  await subscribed(redis, 2)
  await a.invalidateTags(['topic:light'])
  t.equal(await redis.del('cache:tags'), 1)
  t.equal(await redis.exists('cache:value:{k}'), 1, 'the old answer is still there')
  t.same([await b.get('k'), await b.stale('k')], [undefined, undefined])
  t.equal((await b.claim('k', { ...producing('new'), tags })).state, 'lead')
})

t.test('a copy in memory is not trusted when the record went while the instance was cut off', async (t) => {
  const { redis, caches } = await instances(t, 2)
  const [a, b] = caches
  await a.set('k', 'old', { tags })
  await b.get('k')
  await subscribed(redis, 2)
  // Invalidated and evicted in one go, before any instance can be back.
  await redis
    .multi()
    .client('KILL', 'TYPE', 'pubsub')
    .hset('cache:tags', 'topic:light', 'another')
    .del('cache:tags')
    .exec()
  await subscribed(redis, 2)
  t.same([await b.get('k'), await b.stale('k')], [undefined, undefined])
})

t.test('instances that heard all along keep their memory, and tell a new record what they heard', async (t) => {
  const { redis, caches } = await instances(t, 2)
  const [a, b] = caches
  await subscribed(redis, 2)
  await a.set('kept', 1, { tags: ['topic:sound'] })
  await a.invalidateTags(['topic:light'])
  const lookups = async () => Number((await redis.info('commandstats')).match(/cmdstat_hmget:calls=(\d+)/)?.[1])
  for (let before = -1; before !== (await lookups()); await a.get('kept')) before = await lookups() // it has heard that it is subscribed
  const generation = await redis.hget('cache:tags', 'topic:light')
  await redis.del('cache:tags')
  t.match(await a.get('kept'), { value: 1, layer: 'memory' })
  await a.get('something else') // now it notices
  t.match(await a.get('kept'), { value: 1, layer: 'memory' })
  while ((await redis.hget('cache:tags', 'topic:light')) !== generation) await new Promise(setImmediate)
  const { result } = await b.claim('new', { ...producing('v'), tags })
  await result
  t.match(await a.get('new'), { value: 'v', layer: 'redis' }, 'and both go by the same record again')
})

t.test('an entry without tags outlives the record: nothing can invalidate it', async (t) => {
  const { redis, caches } = await instances(t, 2)
  const [a, b] = caches
  await a.set('k', 'v')
  await redis.del('cache:tags')
  t.match(await b.get('k'), { value: 'v', layer: 'redis' })
})

t.test('the record of invalidations lives at least as long as the youngest value', async (t) => {
  const { redis, caches } = await instances(t, 2)
  const [a, b] = caches
  await a.set('k', 'v', { tags })
  await redis.pexpire('cache:tags', 1_000)
  await b.set('k', 'v', { tags }) // not by a, which sets the expiry once a minute
  t.ok((await redis.pttl('cache:tags')) > (await redis.pttl('cache:value:{k}')))
})

t.test('a record of too many tags ends, and with it everything that was made under it', async (t) => {
  const { redis, caches } = await instances(t, 2)
  const [a, b] = caches
  await a.set('k', 'old', { tags })
  const many = Array.from({ length: 10_001 }, (_, n) => [`topic:${n}`, 'generation'] as const)
  await redis.hset('cache:tags', Object.fromEntries(many))
  await a.invalidateTags(['topic:another'])
  t.equal(await redis.hlen('cache:tags'), 1)
  t.equal(await b.get('k'), undefined)
})

t.test('an instance that missed the second invalidation of a tag uses the cache again', async (t) => {
  const { redis, caches } = await instances(t, 2)
  const [a, b] = caches
  await subscribed(redis, 2)
  await a.invalidateTags(['topic:light'])
  await redis.multi().client('KILL', 'TYPE', 'pubsub').hset('cache:tags', 'topic:light', 'second').exec()
  await subscribed(redis, 2)
  await (await a.claim('k', { ...producing('v'), tags })).result
  t.match(await b.get('k'), { value: 'v', layer: 'redis' })
  t.match(await (await b.claim('k', { ...mustNotProduce, tags })).result, { layer: 'memory' })
})

t.test('in a Redis that evicts all the time every question is answered and no fault is told', async (t) => {
  const told: unknown[] = []
  const { redis, caches } = await instances(t, 2, { onFault: (fault) => told.push(fault) })
  const used = Number((await redis.info('memory')).match(/used_memory:(\d+)/)?.[1])
  await redis.config('SET', 'maxmemory-policy', 'allkeys-lfu')
  await redis.config('SET', 'maxmemory', String(used + 2 * KIB * KIB))
  for (let n = 0; n < 200; n++) {
    const cache = caches[n % 2 === 0 ? 0 : 1]
    const value = { n, padding: 'x'.repeat((n % 10) * 10 * KIB) }
    t.match(await (await cache.claim(`k:${n}`, { ...producing(value), tags })).result, { value: { n } })
  }
  const evicted = Number((await redis.info('stats')).match(/evicted_keys:(\d+)/)?.[1])
  t.ok(evicted > 50, `${evicted} keys were evicted`)
  t.same(told, [])
})
