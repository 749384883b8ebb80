import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { cacheForTest, mustNotProduce, Production, producing } from './fixtures/caches.ts'

const tags = ['operation:create_subtopics', 'topic:light']

t.test("an invalidation clears every instance's memory within 1 s", async (t) => {
  const server = await redisServerForTest(t)
  const caches = [1, 2, 3, 4].map(() => cacheForTest(t, { redis: server.connect(), redisTimeoutMs: 1_000 }))
  const [first] = caches
  await first?.set('k', 'v', { tags })
  for (const cache of caches) t.match(await cache.get('k'), { value: 'v' })
  const startedAtMs = performance.now()
  await first?.invalidateTags(['topic:light'])
  while (caches.some((cache) => cache.counts().memory > 0)) await new Promise(setImmediate)
  t.ok(performance.now() - startedAtMs < 1_000)
  for (const cache of caches) t.same([await cache.get('k'), await cache.stale('k')], [undefined, undefined])
})

t.test('an answer made on one instance before the invalidation on another is not stored anywhere', async (t) => {
  const server = await redisServerForTest(t)
  const [a, b, c] = [1, 2, 3].map(() => cacheForTest(t, { redis: server.connect(), redisTimeoutMs: 1_000 })) as [
    ReturnType<typeof cacheForTest>,
    ReturnType<typeof cacheForTest>,
    ReturnType<typeof cacheForTest>,
  ]
  const production = new Production<string>()
  const leading = await a.claim('k', { ...production, tags })
  await b.invalidateTags(['operation:create_subtopics'])
  production.deliver('outdated')
  t.equal((await leading.result).value, 'outdated')
  for (const cache of [a, b, c]) {
    // a may not have heard yet and keep it for a moment; what it keeps is asked for again or dropped on hearing
    while (cache.counts().memory > 0 && (await cache.get('k')) !== undefined) await new Promise(setImmediate)
    t.equal(await cache.get('k'), undefined)
    t.equal(await cache.stale('k'), undefined)
  }
  t.equal((await c.claim('k', { ...producing('new'), tags })).state, 'lead')
})

t.test('an instance whose subscription was cut does not answer with what it missed', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  const [a, b] = [1, 2].map(() => cacheForTest(t, { redis: server.connect(), redisTimeoutMs: 1_000 }))
  await a?.set('k', 'v', { tags })
  await b?.get('k')
  const subscribers = async () => (await redis.pubsub('NUMSUB', 'cache:bus'))[1]
  while ((await subscribers()) !== 2) await new Promise(setImmediate)
  // Cut and invalidated in one go, before any instance can be back: the message reaches nobody.
  await redis.multi().client('KILL', 'TYPE', 'pubsub').hset('cache:tags', 'topic:light', 'another').exec()
  while ((await subscribers()) !== 2) await new Promise(setImmediate)
  t.equal((await b?.claim('k', { ...producing('new'), tags }))?.state, 'lead')
})

t.test('entries without any of the tags keep answering from memory', async (t) => {
  const server = await redisServerForTest(t)
  const [a, b] = [1, 2].map(() => cacheForTest(t, { redis: server.connect(), redisTimeoutMs: 1_000 }))
  await b?.set('other', 1, { tags: ['topic:sound'] })
  await b?.set('k', 2, { tags })
  await a?.invalidateTags(['topic:light'])
  while ((b?.counts().memory ?? 0) > 1) await new Promise(setImmediate)
  t.match(await (await b?.claim('other', { ...mustNotProduce, tags: ['topic:sound'] }))?.result, { layer: 'memory' })
})
