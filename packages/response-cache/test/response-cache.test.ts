// The contract, once for the cache in memory alone and once with Redis.
import { redisForTest, type TestContext } from '@knowalledge/testing'
import t from 'tap'
import type { ResponseCache, ResponseCacheOptions } from '../src/index.ts'
import { aborted, cacheForTest, HOUR_MS, mustNotProduce, Production, producing, TestClock } from './fixtures/caches.ts'

const kinds: Record<string, (t: TestContext) => Promise<ResponseCacheOptions>> = {
  'memory alone': async () => ({}),
  'memory and Redis': async (t) => ({ redis: await redisForTest(t), redisTimeoutMs: 1_000 }),
}

for (const [kind, optionsFor] of Object.entries(kinds)) {
  t.test(kind, async (t) => {
    const cached = async (t: TestContext): Promise<[ResponseCache, TestClock]> => {
      const clock = new TestClock()
      return [cacheForTest(t, { ...(await optionsFor(t)), clock: clock.now }), clock]
    }

    t.test('leads on a miss, and answers from memory after it', async (t) => {
      const [cache, clock] = await cached(t)
      const first = await cache.claim('k', producing({ a: 1 }))
      t.equal(first.state, 'lead')
      t.same(await first.result, { value: { a: 1 }, storedAtMs: clock.nowMs, layer: 'miss', coalesced: false })
      const second = await cache.claim('k', mustNotProduce)
      t.equal(second.state, 'hit')
      t.same(await second.result, { value: { a: 1 }, storedAtMs: clock.nowMs, layer: 'memory', coalesced: false })
      t.equal(cache.counts().memory, 1)
    })

    t.test('peek shows what memory holds fresh, at once, and nothing else', async (t) => {
      const [cache, clock] = await cached(t)
      t.equal(cache.peek('k'), undefined)
      await (await cache.claim('k', producing({ a: 1 }))).result
      t.same(cache.peek('k'), { value: { a: 1 }, storedAtMs: clock.nowMs, layer: 'memory', coalesced: false })
      clock.nowMs += HOUR_MS
      t.equal(cache.peek('k'), undefined)
      await cache.close()
      t.throws(() => cache.peek('k'), { message: 'The response cache was closed' })
    })

    t.test('many claims at once make one production', async (t) => {
      const [cache] = await cached(t)
      const production = new Production<number>()
      const claims = await Promise.all(Array.from({ length: 100 }, () => cache.claim('k', production)))
      t.same(
        claims.map(({ state }) => state),
        ['lead', ...Array(99).fill('wait')],
      )
      production.deliver(7)
      const answers = await Promise.all(claims.map(({ result }) => result))
      t.same(
        answers.map(({ coalesced }) => coalesced),
        [false, ...Array(99).fill(true)],
      )
      t.same(new Set(answers.map(({ value }) => value)), new Set([7]))
      t.equal(production.runs, 1)
    })

    t.test('what a production tells reaches the others, and whoever joins until it begins', async (t) => {
      const [cache] = await cached(t)
      const told: string[] = []
      const claimOf = (name: string) => cache.claim('k', { ...follower, onProgress: (text) => told.push(name + text) })
      let tell = (_: string) => {}
      const production = Promise.withResolvers<{ value: number; store: boolean }>()
      const produce = (_: AbortSignal, itsTell: typeof tell) => {
        tell = itsTell
        return production.promise
      }
      const follower = { produce: mustNotProduce.produce }
      const leader = await cache.claim<number>('k', { produce, onProgress: (text) => told.push(`leader ${text}`) })
      const first = await claimOf('first ')
      tell('waits')
      tell('waits')
      await claimOf('second ')
      tell('')
      await claimOf('third ')
      t.same(told, ['first waits', 'second waits'])
      production.resolve({ value: 7, store: true })
      t.same([(await leader.result).value, (await first.result).value], [7, 7])
    })

    t.test('a caller that leaves takes nobody with it, not even when its own produce runs', async (t) => {
      const [cache] = await cached(t)
      const production = new Production<string>()
      const client = new AbortController()
      const leaving = await cache.claim('k', { ...production, signal: client.signal })
      const staying = await cache.claim('k', mustNotProduce)
      client.abort(new Error('gone'))
      await t.rejects(leaving.result, { message: 'gone' })
      t.equal((await production.begun).aborted, false)
      production.deliver('late')
      t.equal((await staying.result).value, 'late')
    })

    t.test('a production nobody waits for any more is aborted, and the next claim starts anew', async (t) => {
      const [cache] = await cached(t)
      const production = new Production<string>()
      const client = new AbortController()
      const claims = [1, 2].map(() => cache.claim('k', { ...production, signal: client.signal }))
      const results = (await Promise.all(claims)).map(({ result }) => result)
      const signal = await production.begun
      const isAborted = aborted(signal)
      client.abort(new Error('gone'))
      for (const result of results) await t.rejects(result, { message: 'gone' })
      await isAborted
      production.fail(new Error('aborted'))
      const next = await cache.claim('k', producing('fresh'))
      t.equal(next.state, 'lead')
      t.equal((await next.result).value, 'fresh')
    })

    t.test('a caller whose signal has aborted before it claims starts nothing', async (t) => {
      const [cache] = await cached(t)
      const production = new Production<string>()
      const { result } = await cache.claim('k', { ...production, signal: AbortSignal.abort(new Error('too late')) })
      await t.rejects(result, { message: 'too late' })
      t.equal(production.runs, 0)
    })

    t.test('a failure reaches all who wait and is not kept', async (t) => {
      const [cache] = await cached(t)
      const production = new Production<string>()
      const claims = await Promise.all([1, 2, 3].map(() => cache.claim('k', production)))
      production.fail(new RangeError('no'))
      for (const { result } of claims) await t.rejects(result, new RangeError('no'))
      t.equal(await cache.stale('k'), undefined)
      t.equal((await cache.claim('k', producing('yes'))).state, 'lead')
    })

    t.test('claims may be dropped: a failure nobody looks at ends nothing', async (t) => {
      const [cache] = await cached(t)
      const unhandled: unknown[] = []
      const hear = (reason: unknown) => unhandled.push(reason)
      process.on('unhandledRejection', hear)
      t.teardown(() => process.off('unhandledRejection', hear))
      const production = new Production<string>()
      const client = new AbortController()
      await Promise.all([1, 2].map(() => cache.claim('k', { ...production, signal: client.signal })))
      const kept = await cache.claim('k', production)
      client.abort()
      production.fail(new Error('nobody looks'))
      await t.rejects(kept.result)
      await cache.claim('k', { produce: () => Promise.reject(new Error('nor here')) })
      await cache.claim('k', { ...mustNotProduce, signal: AbortSignal.abort() })
      await new Promise(setImmediate) // unhandled rejections are told after the microtasks
      t.same(unhandled, [])
    })

    t.test('an answer not to be stored is handed on and forgotten', async (t) => {
      const [cache] = await cached(t)
      const { result } = await cache.claim('k', producing('poor', false))
      t.match(await result, { value: 'poor', layer: 'miss' })
      t.equal(await cache.get('k'), undefined)
      t.equal(await cache.stale('k'), undefined)
    })

    t.test('what is not JSON is an error for those who wait, and nobody is stuck', async (t) => {
      const [cache] = await cached(t)
      for (const value of [undefined, 1n]) {
        await t.rejects((await cache.claim('k', producing<unknown>(value))).result, TypeError)
        await t.rejects(cache.set('k', value), TypeError)
      }
      t.equal((await cache.claim('k', producing('yes'))).state, 'lead')
    })

    t.test('nobody can change an answer for others', async (t) => {
      const [cache] = await cached(t)
      const value = { list: [1] }
      const { result } = await cache.claim('k', producing(value))
      value.list.push(2)
      const answer = await result
      t.throws(() => answer.value.list.push(3), TypeError)
      t.same((await cache.get<typeof value>('k'))?.value, { list: [1] })
    })

    t.test('is stale after its hour in memory alone or its two in Redis, and kept for a day', async (t) => {
      const [cache, clock] = await cached(t)
      await cache.set('k', 'old')
      const storedAtMs = clock.nowMs
      clock.nowMs += 2 * HOUR_MS
      t.equal(await cache.get('k'), undefined)
      t.same(await cache.stale('k'), { value: 'old', storedAtMs })
      clock.nowMs = storedAtMs + 24 * HOUR_MS - 1
      t.same(await cache.stale('k'), { value: 'old', storedAtMs })
      t.equal((await cache.claim('k', producing('poor', false))).state, 'lead')
      t.same(await cache.stale('k'), { value: 'old', storedAtMs }, 'a poor answer does not replace it')
      clock.nowMs++
      t.equal(await cache.stale('k'), undefined)
    })

    t.test('invalidates by tag: what has it is gone, fresh and stale', async (t) => {
      const [cache] = await cached(t)
      await cache.set('a', 1, { tags: ['operation:x', 'topic:t'] })
      await cache.set('b', 2, { tags: ['operation:x'] })
      await cache.set('c', 3)
      await cache.invalidateTags(['topic:t', 'topic:none'])
      t.equal(await cache.get('a'), undefined)
      t.equal(await cache.stale('a'), undefined)
      t.match([await cache.get('b'), await cache.get('c')], [{ value: 2 }, { value: 3 }])
      await cache.set('a', 4, { tags: ['topic:t'] })
      t.match(await cache.get('a'), { value: 4 }, 'what comes after it stays')
    })

    t.test('what was produced before an invalidation and stored after it does not survive', async (t) => {
      const [cache] = await cached(t)
      const production = new Production<string>()
      const { result } = await cache.claim('k', { ...production, tags: ['topic:t'] })
      await production.begun
      await cache.invalidateTags(['topic:t'])
      production.deliver('outdated')
      t.equal((await result).value, 'outdated', 'who asked before it is answered')
      t.equal(await cache.get('k'), undefined)
      t.equal(await cache.stale('k'), undefined)
    })

    t.test('memory is bounded by count and by bytes', async (t) => {
      const options = await optionsFor(t)
      const byCount = cacheForTest(t, { ...options, prefix: 'count', maxItems: 3 })
      for (const key of ['a', 'b', 'c', 'd']) await byCount.set(key, key)
      t.equal(byCount.counts().memory, 3)
      const byBytes = cacheForTest(t, { ...options, prefix: 'bytes', maxBytes: 100_000 })
      for (const key of ['a', 'b', 'c', 'd']) await byBytes.set(key, 'x'.repeat(40_000))
      t.equal(byBytes.counts().memory, 2)
      t.ok(byBytes.counts().memoryBytes <= 100_000)
      await byBytes.set('huge', 'x'.repeat(100_001))
      t.equal(byBytes.counts().memory, 2, 'one too large for the whole layer drives nobody out')
    })

    t.test('is closed for good', async (t) => {
      const [cache] = await cached(t)
      const production = new Production<string>()
      const { result } = await cache.claim('k', production)
      const signal = await production.begun
      await cache.close()
      await cache.close()
      await t.rejects(result, { message: 'The response cache was closed' })
      t.equal(signal.aborted, true)
      await t.rejects(cache.claim('k', mustNotProduce), { message: 'The response cache was closed' })
    })
  })
}
