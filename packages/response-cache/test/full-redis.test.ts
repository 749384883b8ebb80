import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import type { ResponseCacheOptions } from '../src/index.ts'
import { cacheForTest, mustNotProduce, producing } from './fixtures/caches.ts'

type Fault = Parameters<NonNullable<ResponseCacheOptions['onFault']>>[0]

t.test('a full Redis is read, new questions are answered, and its state is told once', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  const told: Fault[] = []
  const recovered = Promise.withResolvers<void>()
  const onFault = (fault: Fault) => {
    told.push(fault)
    if (fault.state === 'recovered') recovered.resolve()
  }
  const options = { redisTimeoutMs: 2_000, onFault }
  const cache = cacheForTest(t, { redis: server.connect(), ...options })
  const other = cacheForTest(t, { redis: server.connect(), redisTimeoutMs: 2_000 })
  await other.set('known', 'v', { tags: ['topic:t'] })

  for (let round = 0; round < 20; round++) {
    await redis.config('SET', 'maxmemory', '1')
    const { result } = await cache.claim(`full:${round}`, { ...producing(round), tags: ['topic:t'] })
    t.match(await result, { value: round, layer: 'miss' })
    await redis.config('SET', 'maxmemory', '0') // near its limit, Redis takes some writes
    await cache.set(`room:${round}`, round)
  }
  t.same(
    told.map(({ state, reason }) => ({ state, reason })),
    [{ state: 'degraded', reason: 'full' }],
  )
  await redis.config('SET', 'maxmemory', '1')
  t.match(await (await cache.claim('known', mustNotProduce)).result, { value: 'v', layer: 'redis' })
  await t.rejects(cache.invalidateTags(['topic:t']), { message: /when it is back/ })

  await redis.config('SET', 'maxmemory', '0')
  const writing = setInterval(() => void cache.set('again', 1), 100)
  await recovered.promise
  clearInterval(writing)
  t.same(
    told.map(({ state }) => state),
    ['degraded', 'recovered'],
  )
  while ((await redis.hget('cache:tags', 'topic:t')) === null) await new Promise(setImmediate)
  t.equal(await other.get('known'), undefined, 'what could not be invalidated then, is now')
})

t.test('large values are bounded in number and bytes: the oldest go, small ones stay', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  const bounds = { maxLargeValues: 4, maxLargeBytes: 400 * 1024 }
  const [a, b] = [1, 2].map(() => cacheForTest(t, { redis: server.connect(), redisTimeoutMs: 2_000, ...bounds })) as [
    ReturnType<typeof cacheForTest>,
    ReturnType<typeof cacheForTest>,
  ]
  const kept = async () =>
    (await redis.keys('cache:value:*')).map((key) => key.slice('cache:value:{'.length, -1)).sort()
  const image = (kibibytes: number) => 'x'.repeat(kibibytes * 1024)
  await a.set('small', image(60))
  for (const [n, cache] of [a, b, a, b, a, b].entries()) await cache.set(`image:${n}`, image(70))
  t.same(await kept(), ['image:2', 'image:3', 'image:4', 'image:5', 'small'], 'four of them')
  await (await a.claim('image:6', producing(image(200)))).result
  t.same(await kept(), ['image:4', 'image:5', 'image:6', 'small'], '340 KiB of 400')
  await a.set('image:4', image(70))
  await b.set('image:7', image(70))
  t.same(await kept(), ['image:4', 'image:6', 'image:7', 'small'], 'stored again, it is a new one')
  await a.set('too large', image(401))
  t.same(await kept(), ['image:4', 'image:6', 'image:7', 'small'])
  await Promise.all(Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? a : b).set(`burst:${n}`, image(70))))
  t.equal((await kept()).filter((key) => key !== 'small').length, 4, 'also of those stored at the same time')
})
