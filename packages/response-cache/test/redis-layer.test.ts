import { redisServerForTest, type TestContext } from '@knowalledge/testing'
import type { Redis } from 'ioredis'
import t from 'tap'
import type { CacheEvent } from '../src/index.ts'
import {
  cacheForTest,
  HOUR_MS,
  MINUTE_MS,
  mustNotProduce,
  Production,
  producing,
  TestClock,
} from './fixtures/caches.ts'

const MIB = 1024 ** 2

/** Two instances on one Redis, with one clock, and a connection to look behind them. */
async function twoInstances(t: TestContext) {
  const server = await redisServerForTest(t)
  const clock = new TestClock()
  const events: CacheEvent[] = []
  const instance = () =>
    cacheForTest(t, {
      redis: server.connect(),
      redisTimeoutMs: 1_000,
      clock: clock.now,
      onEvent: (event) => events.push(event),
    })
  return { server, clock, events, redis: server.connect(), a: instance(), b: instance() }
}

async function callsOf(redis: Redis, commands: string): Promise<number> {
  const calls = (await redis.info('commandstats')).matchAll(new RegExp(`cmdstat_(?:${commands}):calls=(\\d+)`, 'g'))
  return [...calls].reduce((sum, [, count]) => sum + Number(count), 0)
}

t.test('one instance answers from what another stored, then from its own memory', async (t) => {
  const { a, b } = await twoInstances(t)
  await (await a.claim('k', producing({ n: 1 }))).result
  const first = await b.claim('k', mustNotProduce)
  t.equal(first.state, 'hit')
  t.match(await first.result, { value: { n: 1 }, layer: 'redis', coalesced: false })
  t.match(await (await b.claim('k', mustNotProduce)).result, { value: { n: 1 }, layer: 'memory' })
})

t.test('a memory hit costs no round trip, with tags or without', async (t) => {
  const { redis, a } = await twoInstances(t)
  await a.set('plain', 1)
  await a.set('tagged', 2, { tags: ['topic:t'] })
  const hit = async () => {
    for (const key of ['plain', 'tagged']) await (await a.claim(key, { ...mustNotProduce, tags: ['topic:t'] })).result
  }
  const asked = () => callsOf(redis, 'get|hmget|eval|evalsha|set')
  let before: number
  do {
    before = await asked() // until the subscription stands: before it, tags are asked for
    await hit()
  } while ((await asked()) > before)
  for (let round = 0; round < 100; round++) await hit()
  t.equal(await asked(), before)
})

t.test('a Redis hit costs one round trip', async (t) => {
  const { redis, a, b } = await twoInstances(t)
  await a.set('k', 1, { tags: ['topic:t'] })
  const before = await callsOf(redis, 'hmget|eval|evalsha')
  t.match(await (await b.claim('k', { ...mustNotProduce, tags: ['topic:t'] })).result, { layer: 'redis' })
  t.equal((await callsOf(redis, 'hmget|eval|evalsha')) - before, 2, 'the value and its tag, side by side')
})

t.test('a miss costs two round trips: the look with the claim, and the end', async (t) => {
  const { redis, a } = await twoInstances(t)
  const miss = async (key: string) => {
    const produce = async () => ({ value: key, store: true })
    t.match(await (await a.claim(key, { produce, tags: ['topic:t'] })).result, { layer: 'miss' })
  }
  await miss('first')
  const before = await callsOf(redis, 'hmget|eval|evalsha|set|pexpire')
  await miss('second')
  const inScripts = 2 // the lease and the value
  t.equal((await callsOf(redis, 'hmget|eval|evalsha|set|pexpire')) - before, 3 + inScripts)
})

t.test('is fresh for an hour in memory, for two in Redis, and stale for a day in all instances', async (t) => {
  const { clock, a, b } = await twoInstances(t)
  await a.set('k', 'v')
  const storedAtMs = clock.nowMs
  clock.nowMs += HOUR_MS - 1
  t.match(await a.get('k'), { layer: 'memory' })
  clock.nowMs += 1
  t.match(await a.get('k'), { layer: 'redis' })
  t.match(await a.get('k'), { layer: 'memory' }, 'it entered memory again')
  clock.nowMs += 50 * MINUTE_MS
  t.match(await b.get('k'), { layer: 'redis', storedAtMs })
  clock.nowMs += 10 * MINUTE_MS
  t.equal(await b.get('k'), undefined, 'ten minutes in memory, but two hours old')
  t.equal(await a.get('k'), undefined)
  clock.nowMs += 21 * HOUR_MS
  for (const cache of [a, b]) t.same(await cache.stale('k'), { value: 'v', storedAtMs })
  clock.nowMs = storedAtMs + 24 * HOUR_MS
  for (const cache of [a, b]) t.equal(await cache.stale('k'), undefined)
})

t.test('an instance that never had it finds the stale copy in Redis', async (t) => {
  const { clock, a, b } = await twoInstances(t)
  await a.set('k', 'v', { tags: ['topic:t'] })
  const storedAtMs = clock.nowMs
  clock.nowMs += 20 * HOUR_MS
  t.same(await b.stale('k'), { value: 'v', storedAtMs })
  await a.invalidateTags(['topic:t'])
  while ((await b.stale('k')) !== undefined) await new Promise(setImmediate)
  t.equal(await a.stale('k'), undefined)
})

t.test('every key in Redis has an expiry, also while claims lead, wait and fail', async (t) => {
  const { redis, a, b } = await twoInstances(t)
  const production = new Production<string>()
  const leading = await a.claim('k', { ...production, tags: ['topic:t'] })
  const waiting = await b.claim('k', { ...mustNotProduce, tags: ['topic:t'] })
  await a.set('set', 1)
  await a.invalidateTags(['topic:other'])
  const expiries = async () => Promise.all((await redis.keys('*')).map((key) => redis.pttl(key)))
  const during = await expiries()
  production.deliver('v')
  await Promise.all([leading.result, waiting.result])
  const failing = new Production<string>()
  const failed = await Promise.all([a.claim('f', failing), b.claim('f', failing)])
  failing.fail(new Error('no'))
  for (const { result } of failed) await t.rejects(result, { message: 'no' })
  const after = await expiries()
  t.ok(during.length >= 4 && after.length >= 5, `${during.length} and ${after.length} keys`)
  for (const ms of [...during, ...after]) t.ok(ms > 0 && ms <= 25 * HOUR_MS)
})

t.test('a value over 5 MiB stays out of Redis and is told of', async (t) => {
  const { redis, events, a } = await twoInstances(t)
  const largest = 'x'.repeat(5 * MIB - 2) // and its quotes
  await a.set('largest', largest)
  await a.set('larger', `${largest}x`)
  await (await a.claim('claimed', producing(`${largest}x`))).result
  t.same(await redis.keys('cache:value:*'), ['cache:value:{largest}'])
  t.same(
    events.map(({ type, key }) => [type, key]),
    [
      ['too_large', 'larger'],
      ['too_large', 'claimed'],
    ],
  )
  t.match(await (await a.claim('larger', mustNotProduce)).result, { layer: 'memory' })
})

t.test('corrupt and foreign values are misses, and are overwritten', async (t) => {
  const { redis, events, a, b } = await twoInstances(t)
  await a.set('sample', { list: [1, 2, 3] })
  const whole = String(await redis.get('cache:value:{sample}'))
  const spoilt: [string, () => Promise<unknown>][] = [
    ['empty', () => redis.set('cache:value:{empty}', '')],
    ['null', () => redis.set('cache:value:{null}', 'null')],
    ['json', () => redis.set('cache:value:{json}', '{"value":1,"storedAtMs":9999999999999}')],
    ['cut', () => redis.set('cache:value:{cut}', whole.slice(0, -1))],
    ['header', () => redis.set('cache:value:{header}', whole.slice(0, 50))],
    ['flipped', () => redis.set('cache:value:{flipped}', whole.replace('[1,2', '[1,3'))],
    ['binary', () => redis.set('cache:value:{binary}', Buffer.from(Array.from({ length: 99 }, (_, i) => 255 - i)))],
    ['almost', () => redis.set('cache:value:{almost}', whole.replace('ka2 ', 'ka2-'))],
    ['list', () => redis.rpush('cache:value:{list}', 'x')],
    ['hash', () => redis.hset('cache:value:{hash}', 'token', 'x')],
  ]
  for (const [key, spoil] of spoilt) {
    await spoil()
    t.equal(await b.get(key), undefined, key)
    t.equal(await b.stale(key), undefined, key)
    const claim = await b.claim(key, producing(key))
    t.equal(claim.state, 'lead', key)
    t.match(await claim.result, { value: key, layer: 'miss' })
    t.match(await a.get(key), { value: key, layer: 'redis' }, `${key} is mended for all`)
  }
  t.equal(new Set(events.filter(({ type }) => type === 'corrupt').map(({ key }) => key)).size, 8)
})

t.test('foreign things where the fleet keeps its own stop nobody', async (t) => {
  const { redis, a } = await twoInstances(t)
  await redis.set('cache:lease:{endless}', 'no expiry')
  await redis.set('cache:waiters:{waiters}', 'a string', 'EX', 60)
  await redis.set('cache:lease:{waiters}', 'somebody', 'EX', 60)
  await redis.rpush('cache:lease:{lease}', 'a list')
  await redis.rpush('cache:tags', 'a list')
  await redis.rpush('cache:large', 'a list')
  await redis.publish('cache:bus', 'not json')
  await redis.publish('cache:bus', '["concluded",1]')
  for (const key of ['endless', 'waiters', 'lease']) {
    const claim = await a.claim(key, { ...producing(key), tags: ['topic:t'] })
    t.equal(claim.state, 'lead', key)
    t.match(await claim.result, { value: key })
  }
})

t.test('a caller that waits for a leader that never ends leaves when its signal aborts', async (t) => {
  const { redis, a } = await twoInstances(t)
  await redis.set('cache:lease:{k}', 'somebody', 'EX', 60)
  const client = new AbortController()
  const { state, result } = await a.claim('k', { ...mustNotProduce, signal: client.signal })
  t.equal(state, 'wait')
  client.abort(new Error('enough'))
  await t.rejects(result, { message: 'enough' })
})

t.test('those who wait elsewhere are told of the end, and do not find it by asking', async (t) => {
  const { redis, a, b } = await twoInstances(t)
  while ((await redis.pubsub('NUMSUB', 'cache:bus'))[1] !== 2) await new Promise(setImmediate)
  const startedAtMs = performance.now()
  for (let round = 0; round < 10; round++) {
    const production = new Production<number>()
    const claims = [await a.claim(`k:${round}`, production), await b.claim(`k:${round}`, mustNotProduce)]
    production.deliver(round)
    for (const { result } of claims) t.equal((await result).value, round)
  }
  t.ok(performance.now() - startedAtMs < 1_500, 'by asking every 200 ms it would take 2 s')
})

t.test('errors travel as the caller says', async (t) => {
  const server = await redisServerForTest(t)
  class Refused extends Error {
    retryAfterMs = 1_234
  }
  const options = () => ({
    redis: server.connect(),
    redisTimeoutMs: 1_000,
    encodeError: (error: unknown) => (error as Refused).retryAfterMs,
    decodeError: (ms: unknown) => Object.assign(new Refused('refused'), { retryAfterMs: ms }),
  })
  const [a, b] = [cacheForTest(t, options()), cacheForTest(t, options())]
  const production = new Production<string>()
  const leading = await a.claim('k', production)
  const waiting = await b.claim('k', mustNotProduce)
  const thrown = new Refused('mine')
  production.fail(thrown)
  t.equal(await leading.result.catch((error: unknown) => error), thrown, 'the very error in the same process')
  await t.rejects(waiting.result, { message: 'refused', retryAfterMs: 1_234 })
})

t.test('values are kept apart by prefix, and a keyPrefix of the connection is respected', async (t) => {
  const server = await redisServerForTest(t)
  const plain = server.connect()
  const prefixed = () => server.connect({ keyPrefix: 'app:' })
  const [a, b] = [prefixed(), prefixed()].map((redis) => cacheForTest(t, { redis, prefix: 'p', redisTimeoutMs: 1_000 }))
  const production = new Production<string>()
  const leading = await a?.claim('k', production)
  const waiting = await b?.claim('k', mustNotProduce)
  t.same([leading?.state, waiting?.state], ['lead', 'wait'])
  production.deliver('v')
  t.match(await waiting?.result, { value: 'v', coalesced: true })
  t.same(await plain.keys('*value*'), ['app:p:value:{k}'])
  t.equal(await cacheForTest(t, { redis: plain, prefix: 'q' }).get('k'), undefined)
})
