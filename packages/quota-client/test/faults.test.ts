import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { type FaultProxy, faultProxyForTest, redisServerForTest, type TestRedisServer } from '@knowalledge/testing'
import { Redis, type RedisOptions } from 'ioredis'
import t, { type Test } from 'tap'
import { createQuotaClient, type QuotaClient, type QuotaClientOptions, quotaRedisOptions } from '../src/index.ts'
import { ask, heldBy, roomy } from './support/contract.ts'
import { timed } from './support/timed.ts'

const answerMs = 60

interface Setting {
  server: TestRedisServer
  proxy: FaultProxy
  /** Behind the proxy, where the faults are. */
  quota: QuotaClient
  /** Straight to the same Redis, to see what is true there. It only reads. */
  observer: QuotaClient
  faults: string[]
}

async function setting(
  t: Test,
  changes: Partial<QuotaClientOptions> & { connection?: RedisOptions } = {},
): Promise<Setting> {
  const server = await redisServerForTest(t)
  const proxy = await faultProxyForTest(t, server.port)
  const { connection = quotaRedisOptions(), ...options } = changes
  const redis = new Redis(proxy.port, '127.0.0.1', connection)
  redis.on('error', () => {}) // connections are cut on purpose
  await once(redis, 'ready')
  const faults: string[] = []
  const common = { pool: 'faults', limits: roomy, ...options }
  const quota = createQuotaClient({ ...common, redis, onFault: ({ state }) => faults.push(state) })
  const observer = createQuotaClient({ ...common, redis: server.connect() })
  t.teardown(async () => {
    await quota.close()
    redis.disconnect()
  })
  return { server, proxy, quota, observer, faults }
}

/** Waits for a state that must come, and fails the test when it has not after five seconds. */
async function until(t: Test, what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const startedAt = performance.now(); performance.now() - startedAt < 5000; await delay(5))
    if (await holds()) return
  t.fail(`never came: ${what}`)
}

const connections = {
  'as quotaRedisOptions makes it': quotaRedisOptions(),
  "with ioredis's defaults, which send again": {},
}

for (const [kind, connection] of Object.entries(connections)) {
  t.test(`a connection ${kind}, cut while reservations are in flight`, async (t) => {
    const { proxy, quota, observer, faults } = await setting(t, { connection })
    heldBy(await quota.reserve(ask({ tokens: 10 })))
    proxy.mode = 'cut-on-reply'
    const { value: verdicts, ms } = await timed(() =>
      Promise.all(Array.from({ length: 30 }, () => quota.reserve(ask({ tokens: 10 })))),
    )
    t.ok(ms <= answerMs, `all have an answer after ${ms.toFixed(1)} ms`)
    t.ok(
      verdicts.every((verdict) => verdict.granted && verdict.degraded),
      'by their own share',
    )
    await until(t, 'the return', () => faults.includes('recovered'))
    t.same(faults, ['degraded', 'recovered'])
    const { requests, tokens } = await observer.usage()
    t.ok(requests.perMinute.current >= 31, `${requests.perMinute.current} charged for 31 granted`)
    t.ok(tokens.perDay.current >= 310)
    t.notOk((await quota.usage()).degraded)
    t.match(await quota.reserve(ask()), { granted: true, degraded: false })
  })

  t.test(`a connection ${kind}, cut while refunds are in flight`, async (t) => {
    const { proxy, quota, observer, faults } = await setting(t, { connection })
    heldBy(await quota.reserve(ask({ tokens: 5000 })))
    const held = await Promise.all(Array.from({ length: 10 }, () => quota.reserve(ask({ tokens: 100 }))))
    await until(t, 'the first beat', async () => (await observer.usage()).instances === 1)
    proxy.mode = 'cut-on-reply'
    for (const verdict of held) heldBy(verdict).settle(40)
    await until(t, 'the return', () => faults.includes('recovered'))
    await delay(50) // what a connection sends again, it has sent by now
    heldBy(await quota.reserve(ask({ tokens: 0 }))) // takes along what the client would send again
    const { tokens } = await observer.usage()
    t.ok(tokens.perMinute.current >= 5400, `${tokens.perMinute.current} charged for 5400 used: no refund is made twice`)
    t.ok(tokens.perMinute.current <= 6000)
    t.equal(tokens.perDay.current, tokens.perMinute.current)
  })
}

t.test('an overrun whose answer was lost is charged all the same', async (t) => {
  const { proxy, quota, observer, faults } = await setting(t)
  const reservation = heldBy(await quota.reserve(ask({ tokens: 100 })))
  await until(t, 'the first beat', async () => (await observer.usage()).instances === 1)
  proxy.mode = 'swallow-requests'
  reservation.settle(700)
  await until(t, 'the fault', () => faults.includes('degraded'))
  proxy.mode = 'pass'
  proxy.cut()
  await until(t, 'the charge', async () => (await observer.usage()).tokens.perMinute.current >= 700)
})

for (const mode of ['swallow-requests', 'swallow-replies'] as const)
  t.test(`a network that ${mode.replace('-', 's ')}`, async (t) => {
    const { proxy, quota, observer, faults } = await setting(t)
    heldBy(await quota.reserve(ask()))
    proxy.mode = mode
    for (let call = 0; call < 3; call++) {
      const { value, ms } = await timed(() => quota.reserve(ask()))
      t.ok(ms <= answerMs, `an answer after ${ms.toFixed(1)} ms`)
      t.match(value, { granted: true, degraded: true })
    }
    const times: number[] = []
    for (let call = 0; call < 100; call++) {
      const startedAt = performance.now()
      await quota.reserve(ask())
      times.push(performance.now() - startedAt)
    }
    const median = times.toSorted((one, other) => one - other)[50] ?? Number.NaN
    t.ok(median <= 1, `with the breaker open ${median.toFixed(3)} ms`)
    t.match(await quota.usage(), { degraded: true, requests: { perMinute: { current: 104 } } })
    proxy.mode = 'pass'
    proxy.cut()
    await until(t, 'the return', () => faults.includes('recovered'))
    t.ok((await observer.usage()).requests.perMinute.current >= 104, 'what was used alone has been posted')
    t.match(await quota.reserve(ask()), { granted: true, degraded: false })
  })

t.test('a client that only reads shows what it read last when Redis falls silent, not zero', async (t) => {
  const { proxy, quota, observer } = await setting(t)
  heldBy(await observer.reserve(ask({ requests: 7, tokens: 700 })))
  t.match(await quota.usage(), { degraded: false, requests: { perMinute: { current: 7 } } })
  proxy.mode = 'swallow-replies'
  const { value, ms } = await timed(() => quota.usage())
  t.ok(ms <= answerMs, `an answer after ${ms.toFixed(1)} ms`)
  t.match(value, { degraded: true, requests: { perMinute: { current: 7 } }, tokens: { perDay: { current: 700 } } })
})

t.test('replies that come too late', async (t) => {
  const { proxy, quota, observer, faults } = await setting(t)
  heldBy(await quota.reserve(ask()))
  proxy.delayMs = 120
  const { value, ms } = await timed(() => Promise.all(Array.from({ length: 10 }, () => quota.reserve(ask()))))
  t.ok(ms <= answerMs, `an answer after ${ms.toFixed(1)} ms`)
  t.ok(value.every((verdict) => verdict.granted && verdict.degraded))
  proxy.delayMs = 0
  await until(t, 'the return', () => faults.includes('recovered'))
  t.ok((await observer.usage()).requests.perMinute.current >= 11)
})

t.test('a connection that is handed over before it is ready', async (t) => {
  const server = await redisServerForTest(t)
  const quota = createQuotaClient({ redis: server.connect(quotaRedisOptions()), pool: 'early', limits: roomy })
  t.match(await quota.reserve(ask()), { granted: true, degraded: false })
  await quota.close()
})

t.test(
  'a Redis that is not there: each of the assumed instances takes its part, and nobody sees an error',
  async (t) => {
    const server = await redisServerForTest(t)
    const proxy = await faultProxyForTest(t, server.port)
    proxy.mode = 'refuse'
    const redis = new Redis(proxy.port, '127.0.0.1', quotaRedisOptions())
    redis.on('error', () => {}) // refused on purpose
    const limits = { ...roomy, rpm: 20 }
    const quota = createQuotaClient({ redis, pool: 'absent', limits, windowMs: 1200, assumedInstances: 4 })
    const { value: verdicts, ms } = await timed(() =>
      Promise.all(Array.from({ length: 8 }, () => quota.reserve(ask()))),
    )
    t.ok(ms <= answerMs, `an answer after ${ms.toFixed(1)} ms`)
    t.equal(verdicts.filter((verdict) => verdict.granted).length, 5)
    t.ok(verdicts.every((verdict) => verdict.degraded))
    proxy.mode = 'pass'
    await until(
      t,
      'the end of the window in which the other three may use theirs',
      async () => !(await quota.usage()).degraded,
    )
    t.match((await quota.usage()).requests.perDay, { current: 5 })
    await quota.close()
    redis.disconnect()
  },
)
