import { once } from 'node:events'
import { redisOptions } from '@knowalledge/redis-kit'
import { faultProxyForTest, redisForTest, redisServerForTest } from '@knowalledge/testing'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { type Counted, RequestCounts } from '../../src/admission/request-counts.ts'

const window = { key: 'someone', windowMs: 60_000, max: 1_000 }

/** A long timeout for tests that are not about timeouts: a busy machine's Redis is late at times. */
function countsForTest(t: Test, redis?: Redis, timeoutMs = 10_000) {
  const faults: string[] = []
  const clock = { nowMs: 0 }
  const counts = new RequestCounts({
    redis,
    pool: 'test',
    timeoutMs,
    onFault: ({ state }) => faults.push(state),
    now: () => clock.nowMs,
  })
  t.teardown(() => counts.close())
  const add = (more: Partial<typeof window> = {}) =>
    new Promise<Counted>((resolve) => counts.add({ ...window, ...more }, resolve))
  return { counts, add, faults, clock }
}

async function connectForTest(t: Test, port: number): Promise<Redis> {
  const redis = new Redis(port, '127.0.0.1', redisOptions())
  redis.on('error', () => {}) // connections are cut on purpose
  t.teardown(() => redis.disconnect())
  await once(redis, 'ready')
  return redis
}

t.test('a window begins with its first request, ends on time, and each key has its own', async (t) => {
  const { add, clock } = countsForTest(t)
  t.same(await add(), { count: 1, endsInMs: 60_000 })
  clock.nowMs = 59_999
  t.same(await add(), { count: 2, endsInMs: 1 })
  t.same(await add({ key: 'another' }), { count: 1, endsInMs: 60_000 })
  clock.nowMs = 60_000
  t.same(await add(), { count: 1, endsInMs: 60_000 })
})

t.test(
  'one turn of the event loop is one command, whoever asks, and a full window is not asked for again',
  async (t) => {
    const server = await redisServerForTest(t)
    const redis = server.connect()
    const { add } = countsForTest(t, redis)
    for (const _ of ['loads the script', 'runs it']) await add()
    const commands = async () => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1])
    const before = await commands()
    const keys = Array.from({ length: 50 }, (_, n) => `caller ${n % 5}`)
    const answers = await Promise.all(keys.map((key) => add({ key, max: 9 })))
    t.same(
      answers.map(({ count }) => count),
      keys.map((_, n) => 1 + Math.floor(n / 5)),
      'in the order they came',
    )
    t.equal(await commands(), before + 1)
    t.match(await add({ key: keys[0] as string, max: 9 }), { count: 10, endsInMs: Number })
    t.equal(await commands(), before + 1)
  },
)

t.test('two that count in one Redis count together, and other deployments apart', async (t) => {
  const server = await redisServerForTest(t)
  const connections = [1, 2, 3].map(() => server.connect()) as [Redis, Redis, Redis]
  await Promise.all(connections.map((redis) => redis.ping()))
  const [one, two] = [countsForTest(t, connections[0]), countsForTest(t, connections[1])]
  await Promise.all([one.add(), two.add(), one.add(), two.add()])
  t.match(await one.add(), { count: 5 })
  const elsewhere = new RequestCounts({
    redis: connections[2],
    pool: 'another',
    timeoutMs: 10_000,
    onFault: () => {},
  })
  const counted = await new Promise<Counted>((resolve) => elsewhere.add(window, resolve))
  t.match(counted, { count: 1 })
})

t.test('two gateways let in as many as the limit says, and not one more', async (t) => {
  const server = await redisServerForTest(t)
  const gateways = [server.connect(), server.connect()].map((redis) => countsForTest(t, redis))
  const max = 40
  const crowds = await Promise.all(gateways.flatMap(({ add }) => Array.from({ length: 2 * max }, () => add({ max }))))
  t.equal(crowds.filter(({ count }) => count <= max).length, max)
})

t.test('a count that has lost its end gets a new one: nobody is refused for ever', async (t) => {
  const redis = await redisForTest(t)
  await redis.set('{requests:test}:someone', 7)
  t.same(await countsForTest(t, redis).add(), { count: 8, endsInMs: 60_000 })
})

t.test(
  'Redis refused, cut off or hung: goes on alone from the last count, waits once, and is shared again',
  async (t) => {
    const server = await redisServerForTest(t)
    for (const fault of ['refuse', 'swallow-replies', 'swallow-requests'] as const) {
      await server.connect().flushall()
      const proxy = await faultProxyForTest(t, server.port)
      const redis = await connectForTest(t, proxy.port)
      await redis.ping()
      const { add, faults } = countsForTest(t, redis, 50)
      for (const _ of [1, 2, 3]) await add()
      proxy.mode = fault
      if (fault === 'refuse') proxy.cut()
      t.ok((await add()).count > 3, `${fault}: the last count is known`)
      t.same(faults, ['degraded'])
      let asked = 0
      const synchronous = new Promise<void>((resolve) => {
        void add().then(() => asked++)
        setImmediate(resolve)
      })
      await synchronous
      t.equal(asked, 1, `${fault}: the next does not wait at all`)

      proxy.mode = 'pass'
      proxy.cut() // what was swallowed never comes
      while (faults.length < 2) await new Promise((resolve) => setTimeout(resolve, 10))
      t.same(faults, ['degraded', 'recovered'])
      const { count } = await add()
      t.equal(count, Number(await server.connect().get('{requests:test}:someone')), `${fault}: counted in Redis again`)
    }
  },
)

t.test('what a closed one was waiting for is counted here, and is no fault', async (t) => {
  const server = await redisServerForTest(t)
  const proxy = await faultProxyForTest(t, server.port)
  const redis = await connectForTest(t, proxy.port)
  const { counts, add, faults } = countsForTest(t, redis, 50)
  proxy.mode = 'swallow-requests'
  const waiting = add()
  counts.close()
  t.match(await waiting, { count: 1 })
  t.same(faults, [])
})
