import { freePort, redisServerForTest, type TestRedisServer } from '@knowalledge/testing'
import { Redis, type RedisOptions } from 'ioredis'
import t from 'tap'
import type { ResponseCacheOptions } from '../src/index.ts'
import { aborted, cacheForTest, mustNotProduce, Production, producing } from './fixtures/caches.ts'

type Fault = Parameters<NonNullable<ResponseCacheOptions['onFault']>>[0]

/** What is told about Redis, and a wait for the next of a kind. */
class Faults {
  readonly told: Fault['state'][] = []
  #waiting: { state: Fault['state']; resolve: () => void }[] = []

  readonly onFault = ({ state }: Fault): void => {
    this.told.push(state)
    for (const { resolve } of this.#waiting.filter((one) => one.state === state)) resolve()
  }

  next(state: Fault['state']): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ state, resolve }))
  }
}

const failsFast: RedisOptions = {
  autoResendUnfulfilledCommands: false,
  commandTimeout: 50,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
}
const connections = { 'a bare connection': {}, 'a connection that fails fast': failsFast }

const faults: Record<
  string,
  { begin(server: TestRedisServer): Promise<unknown>; end(server: TestRedisServer): Promise<unknown> }
> = {
  hangs: {
    begin: async (server) => server.process.kill('SIGSTOP'),
    end: async (server) => server.process.kill('SIGCONT'),
  },
  'is killed': {
    begin: (server) => {
      const exited = new Promise((resolve) => server.process.once('exit', resolve))
      server.process.kill('SIGKILL')
      return exited
    },
    end: (server) => server.restart(),
  },
}

for (const [connection, redisOptions] of Object.entries(connections)) {
  for (const [fault, { begin, end }] of Object.entries(faults)) {
    t.test(
      `${connection} whose Redis ${fault}: goes on from memory, with one slow attempt at most, and is back by itself`,
      async (t) => {
        const server = await redisServerForTest(t)
        const heard = new Faults()
        const cache = cacheForTest(t, { redis: server.connect(redisOptions), onFault: heard.onFault })
        const other = cacheForTest(t, { redis: server.connect(redisOptions) })
        await cache.set('before', 'kept', { tags: ['topic:t'] })
        t.same(heard.told, [])

        await begin(server)
        t.match(await (await cache.claim('before', { ...mustNotProduce, tags: ['topic:t'] })).result, {
          layer: 'memory',
        })
        const startedAtMs = performance.now()
        for (let n = 0; n < 100; n++)
          t.match(await (await cache.claim(`during:${n}`, producing(n))).result, { value: n })
        const tookMs = performance.now() - startedAtMs
        t.ok(
          tookMs < 4_000,
          `100 claims that Redis could have slowed by 100 ms each, to 10 s, took ${Math.round(tookMs)} ms`,
        )
        t.same(await cache.stale('before'), { value: 'kept', storedAtMs: (await cache.get('before'))?.storedAtMs })
        const production = new Production<string>()
        const claims = await Promise.all([1, 2, 3].map(() => cache.claim('coalesced', production)))
        production.deliver('once')
        for (const { result } of claims) t.equal((await result).value, 'once')
        t.equal(production.runs, 1, 'calls are still shared in the process')
        t.same(heard.told, ['degraded'], 'told once')

        const recovered = heard.next('recovered')
        await end(server)
        await recovered
        await cache.set('after', 'shared')
        while ((await other.get('after')) === undefined) await new Promise(setImmediate) // its own breaker may still be open
        t.same(heard.told, ['degraded', 'recovered'])
      },
    )
  }
}

t.test('those who wait when Redis dies with their leader out of reach lead themselves', async (t) => {
  const server = await redisServerForTest(t)
  const [a, b] = [1, 2].map(() => cacheForTest(t, { redis: server.connect() }))
  const [led, taken] = [new Production<string>(), new Production<string>()]
  const leading = await a?.claim('k', led)
  const waiting = await b?.claim('k', taken)
  t.same([leading?.state, waiting?.state], ['lead', 'wait'])
  server.process.kill('SIGKILL')
  await taken.begun
  led.deliver('from a')
  taken.deliver('from b')
  t.same([(await leading?.result)?.value, (await waiting?.result)?.value], ['from a', 'from b'])
})

t.test('after a restart the fleet coalesces and hears invalidations again', async (t) => {
  const server = await redisServerForTest(t)
  const heard = [new Faults(), new Faults()]
  const [a, b] = heard.map(({ onFault }) => cacheForTest(t, { redis: server.connect(), onFault }))
  await a?.set('k', 'v', { tags: ['topic:t'] })
  await b?.get('k')
  const recovered = heard.map((one) => one.next('recovered'))
  server.process.kill('SIGKILL')
  for (const cache of [a, b]) await cache?.get('absent')
  await server.restart()
  await Promise.all(recovered)
  const production = new Production<string>()
  const claims = [await a?.claim('new', production), await b?.claim('new', production)]
  t.same(
    claims.map((claim) => claim?.state),
    ['lead', 'wait'],
  )
  production.deliver('shared')
  for (const claim of claims) t.equal((await claim?.result)?.value, 'shared')
  t.match(await b?.get('k'), { value: 'v', layer: 'memory' }, 'memory outlives Redis')
  await a?.invalidateTags(['topic:t'])
  while ((await b?.get('k')) !== undefined) await new Promise(setImmediate)
  t.equal(await b?.stale('k'), undefined)
})

t.test('an invalidation while Redis is down is refused out loud, and carried out when it is back', async (t) => {
  const server = await redisServerForTest(t)
  const heard = [new Faults(), new Faults()]
  const [a, b] = heard.map(({ onFault }) => cacheForTest(t, { redis: server.connect(failsFast), onFault }))
  await a?.set('k', 'v', { tags: ['topic:t'] })
  await b?.get('k')
  server.process.kill('SIGKILL')
  const recovered = heard[0]?.next('recovered')
  await t.rejects(a?.invalidateTags(['topic:t']) ?? Promise.resolve(), { message: /when it is back/ })
  t.equal(await a?.get('k'), undefined, 'at once where it was asked for')
  await server.restart()
  await recovered
  while ((await b?.get('k')) !== undefined) await new Promise(setImmediate)
  t.equal(await b?.stale('k'), undefined)
})

t.test('a Redis that is never there keeps nobody from answers', async (t) => {
  const port = await freePort()
  for (const [connection, redisOptions] of Object.entries(connections)) {
    const redis = new Redis(port, '127.0.0.1', redisOptions)
    redis.on('error', () => {}) // refused, as it should be
    t.teardown(() => redis.disconnect())
    const heard = new Faults()
    const cache = cacheForTest(t, { redis, onFault: heard.onFault })
    t.match(await (await cache.claim('k', producing('v'))).result, { value: 'v', layer: 'miss' }, connection)
    t.match(await cache.get('k'), { layer: 'memory' })
    t.same(heard.told, ['degraded'])
  }
})

t.test('a connection on its way up is waited for, lazy or not, with or without an offline queue', async (t) => {
  const server = await redisServerForTest(t)
  const lazies = [true, false].flatMap((lazyConnect) =>
    [true, false].map((enableOfflineQueue) => ({ lazyConnect, enableOfflineQueue })),
  )
  for (const [n, options] of lazies.entries()) {
    const heard = new Faults()
    const cache = cacheForTest(t, { redis: server.connect(options), onFault: heard.onFault, redisTimeoutMs: 1_000 })
    await cache.set(`k:${n}`, n)
    t.same(heard.told, [])
  }
  t.equal(
    await server.connect().exists('cache:value:{k:0}', 'cache:value:{k:1}', 'cache:value:{k:2}', 'cache:value:{k:3}'),
    4,
  )
})

t.test('a stall of this very process is not taken for a fault of Redis', async (t) => {
  const server = await redisServerForTest(t)
  for (const options of Object.values(connections)) {
    const heard = new Faults()
    const [writer, reader] = [1, 2].map(() =>
      cacheForTest(t, { redis: server.connect(options), onFault: heard.onFault }),
    )
    await writer?.set('k', 'v')
    await reader?.get('connected')
    const finding = reader?.get('k')
    const untilMs = performance.now() + 250
    while (performance.now() < untilMs) {} // longer than any of the timeouts
    t.match(await finding, { value: 'v', layer: 'redis' })
    t.same(heard.told, [])
  }
})

t.test('a production is not cancelled while Redis cannot say who waits for it', async (t) => {
  const server = await redisServerForTest(t)
  const heard = new Faults()
  const cache = cacheForTest(t, { redis: server.connect(), onFault: heard.onFault })
  const production = new Production<string>()
  const client = new AbortController()
  const { result } = await cache.claim('k', { ...production, signal: client.signal })
  const signal = await production.begun
  server.process.kill('SIGSTOP')
  const degraded = heard.next('degraded')
  client.abort(new Error('left'))
  await t.rejects(result, { message: 'left' })
  await degraded // the question of who waits got no answer
  await new Promise(setImmediate)
  t.equal(signal.aborted, false)
  server.process.kill('SIGCONT')
  await aborted(signal)
  t.pass('aborted once Redis says that nobody waits')
})
