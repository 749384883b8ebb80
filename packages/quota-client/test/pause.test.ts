import { redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { PauseGate } from '../src/core/pauses.ts'
import { createQuotaClient, type QuotaClient, type QuotaClientOptions } from '../src/index.ts'
import { ask, grantsOf, heldBy, roomy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'
import { VirtualTime } from './support/virtual-runtime.ts'

const start = '2037-07-01T12:00:00Z'
const minute = { windowMs: 24_000, transitMs: 140 }
const ringMs = 24_240

interface Instances {
  quotas: QuotaClient[]
  time: VirtualTime
}
type Make = (t: Test, options?: Partial<QuotaClientOptions>) => Promise<Instances>

function pauses(t: Test, make: Make): void {
  t.test('a pause is over at its end, and a later one lasts longer', async (t) => {
    const { quotas, time } = await make(t)
    const untilMs = time.nowMs + 10_000
    await quotas[0]?.pause({ limitType: 'rpd', untilMs })
    await quotas[0]?.pause({ limitType: 'upstream', untilMs: untilMs - 5000 })
    for (const quota of quotas) {
      const refused = await quota.reserve(ask())
      t.match(refused, { granted: false, reason: 'paused', limitType: 'rpd', limit: roomy.rpd, retryAfterMs: 10_001 })
      t.match((await quota.usage()).pause, { limitType: 'rpd', untilMs })
    }
    await time.pass(10_000)
    for (const quota of quotas) t.ok((await quota.reserve(ask())).granted)
  })

  t.test('when it ends, one probe goes first, and the others wait until it was served', async (t) => {
    const { quotas, time } = await make(t)
    await quotas[0]?.pause({ limitType: 'rpm', untilMs: time.nowMs + 1000 })
    await time.pass(1000)
    for (const quota of quotas) {
      const verdicts = await Promise.all(Array.from({ length: 20 }, () => quota.reserve(ask())))
      t.same(
        verdicts.map(({ granted }) => granted),
        [true, ...Array(19).fill(false)],
      )
      t.match(verdicts[1], { reason: 'paused', limitType: 'rpm', retryAfterMs: minute.windowMs / 6 + 1 })
      const [first] = verdicts
      if (first === undefined) return t.fail('a volley of 20 has a first')
      t.match(await quota.reserve(ask()), { granted: false, reason: 'paused' }, 'the probe is still out')
      heldBy(first).release()
      const next = await quota.reserve(ask())
      t.ok(next.granted, 'it never reached the provider: the next call is the probe')
      t.match(await quota.reserve(ask()), { granted: false, reason: 'paused' })
      heldBy(next).settle(0)
      t.equal(await grantsOf(quota, 20), 20, 'it was served: the others go')
    }
  })

  t.test('a probe that is refused is replaced by the next call', async (t) => {
    const { quotas, time } = await make(t, { limits: { ...roomy, rpm: 4 } })
    const [quota] = quotas
    if (quota === undefined) return
    const held = heldBy(await quota.reserve(ask({ requests: 4 })))
    await quota.pause({ limitType: 'rpm', untilMs: time.nowMs + 1000 })
    await time.pass(1000)
    for (let call = 0; call < 2; call++) t.match(await quota.reserve(ask()), { granted: false, reason: 'spent' })
    held.release()
    t.ok((await quota.reserve(ask())).granted)
    t.match(await quota.reserve(ask()), { granted: false, reason: 'paused' }, 'this one was granted: it is the probe')
  })

  t.test('a day that is used up pauses until the day ends, when the provider names no time', async (t) => {
    const { quotas } = await make(t)
    await quotas[0]?.pause({ limitType: 'rpd' })
    const untilMs = Date.parse('2037-07-02T07:00:00Z')
    for (const quota of quotas) {
      await quota.reserve(ask())
      t.match((await quota.usage()).pause, { limitType: 'rpd', untilMs })
    }
  })

  t.test(
    'without a delay from the provider the limit shrinks by a fifth and comes back over five windows',
    async (t) => {
      const { quotas, time } = await make(t, { limits: { ...roomy, rpm: 100 } })
      const [quota] = quotas
      if (quota === undefined) return
      const untilMs = time.nowMs + ringMs / 12
      await quota.pause({ limitType: 'upstream' })
      await quota.pause({ limitType: 'upstream' })
      t.match((await quota.usage()).pause, { limitType: 'upstream', untilMs })
      await time.pass(ringMs / 12)
      heldBy(await quota.reserve(ask())).settle(0)
      t.equal(1 + (await grantsOf(quota, 200)), 80, 'one volley of refusals shrinks it once')
      await time.pass(ringMs + 101)
      t.equal(await grantsOf(quota, 200), 84)
      await time.pass(5 * ringMs)
      t.equal(await grantsOf(quota, 200), 100)
    },
  )

  t.test('refusals that go on shrink it to a fifth, and never below one call', async (t) => {
    const { quotas, time } = await make(t, { limits: { ...roomy, rpm: 100, rpd: 1e6 } })
    const [quota] = quotas
    if (quota === undefined) return
    for (let refusal = 0; refusal < 30; refusal++) {
      await quota.pause({ limitType: 'upstream' })
      await time.pass(ringMs / 6)
    }
    await quota.pause({ limitType: 'upstream' })
    await time.pass(ringMs / 12)
    heldBy(await quota.reserve(ask())).settle(0)
    t.equal(1 + (await grantsOf(quota, 200)), 20)
  })
}

t.test('pauses in memory', async (t) =>
  pauses(t, async (_t, options) => {
    const time = new VirtualTime(start)
    const quota = createQuotaClient({ pool: 'pauses', limits: roomy, ...minute, ...options }, time.runtime())
    return { quotas: [quota], time }
  }),
)

t.test('pauses in Redis', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  const make: Make = async (t, options) => {
    const pool = new VirtualPool(t, redis, start)
    const quotas = []
    for (let made = 0; made < 3; made++) quotas.push(await pool.servingInstance({ ...minute, ...options }))
    return { quotas, time: pool.time }
  }
  pauses(t, make)

  t.test('every instance knows of a pause with its next call, at the latest with its next heartbeat', async (t) => {
    const { quotas, time } = await make(t)
    await quotas[0]?.pause({ limitType: 'rpm', untilMs: time.nowMs + 10_000 })
    t.match(await quotas[1]?.reserve(ask()), { granted: false, reason: 'paused', limitType: 'rpm' })
    await time.pass(minute.windowMs / 60)
    t.match((await quotas[2]?.usage())?.pause, { limitType: 'rpm' })
  })

  t.test('a pause that could not be told is told when Redis is back', async (t) => {
    const pool = new VirtualPool(t, redis, start)
    const quotas = [await pool.servingInstance(), await pool.servingInstance()]
    pool.fault = 'unreachable'
    const untilMs = pool.time.nowMs + 30_000
    await quotas[0]?.pause({ limitType: 'rpm', untilMs })
    t.match(await quotas[0]?.usage(), { degraded: true, pause: { limitType: 'rpm', untilMs } })
    pool.fault = 'none'
    await pool.time.pass(2000)
    t.match(await quotas[1]?.reserve(ask()), { granted: false, reason: 'paused', limitType: 'rpm' })
  })

  t.test('a pause outlives a hold', async (t) => {
    const pool = new VirtualPool(t, redis, start)
    const quota = await pool.servingInstance()
    const untilMs = pool.time.nowMs + 300_000
    await quota.pause({ limitType: 'upstream', untilMs })
    pool.replicationId = 'second'
    await pool.time.pass(100_000)
    t.match(await quota.usage(), { hold: null, pause: { limitType: 'upstream', untilMs } })
    await pool.lose()
    await pool.time.pass(100_000)
    t.match(await quota.usage(), { hold: null, pause: { limitType: 'upstream', untilMs } }, 'members restate it')
  })
})

t.test('a probe that never comes back is replaced after a sixth of a window', async (t) => {
  const gate = new PauseGate(60_000)
  gate.learn({ limitType: 'upstream', untilMs: 5000 })
  t.match(gate.closed(4000), { limitType: 'upstream', retryAfterMs: 1001 })
  t.equal(gate.closed(5000), undefined)
  t.equal(gate.pass(5000), 5000)
  t.match(gate.closed(6000), { retryAfterMs: 9001 })
  t.equal(gate.closed(15_000), undefined)
  t.equal(gate.pass(15_000), 5000, 'another probe')
  gate.probed(5000, true)
  t.equal(gate.closed(15_001), undefined)
  t.equal(gate.pass(15_001), undefined, 'no probe is needed any more')
})
