import { redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { CalendarDay } from '../src/core/calendar-day.ts'
import { createQuotaClient, type QuotaClient, type QuotaClientOptions } from '../src/index.ts'
import { ask, grantsOf, heldBy, roomy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'
import { VirtualTime } from './support/virtual-runtime.ts'

const hourMs = 3_600_000

t.test('knows days of 23, 24 and 25 hours, and zones whose midnight does not exist', async (t) => {
  for (const [zone, within, start, hours] of [
    ['America/Los_Angeles', '2037-07-01T20:00:00Z', '2037-07-01T07:00:00Z', 24],
    ['America/Los_Angeles', '2037-03-08T12:00:00Z', '2037-03-08T08:00:00Z', 23],
    ['America/Los_Angeles', '2037-11-01T12:00:00Z', '2037-11-01T07:00:00Z', 25],
    ['Asia/Kathmandu', '2037-03-08T12:00:00Z', '2037-03-07T18:15:00Z', 24],
    ['America/Santiago', '2024-09-08T12:00:00Z', '2024-09-08T04:00:00Z', 23], // it begins at 01:00
  ] as const) {
    const day = new CalendarDay(zone)
    const endMs = Date.parse(start) + hours * hourMs
    t.equal(day.endOf(Date.parse(within)), endMs, `${zone} ${within}`)
    t.equal(day.endOf(Date.parse(start)), endMs, 'from its first millisecond')
    t.equal(day.endOf(endMs - 1), endMs, 'to its last')
    t.ok(day.endOf(endMs) > endMs, 'and no longer')
    const [yesterday, today, tomorrow] = day.endsAround(Date.parse(within))
    t.equal(yesterday, Date.parse(start))
    t.equal(today, endMs)
    t.ok(tomorrow - endMs >= 23 * hourMs && tomorrow - endMs <= 25 * hourMs)
  }
  t.throws(() => new CalendarDay('Mars/Olympus'), { name: 'RangeError' })
})

interface Instance {
  quota: QuotaClient
  time: VirtualTime
}
type Make = (t: Test, start: string, options: Partial<QuotaClientOptions>) => Promise<Instance>

function days(t: Test, make: Make): void {
  for (const [name, start, hours] of [
    ['23 hours', '2037-03-08T08:00:00Z', 23],
    ['24 hours', '2037-07-01T07:00:00Z', 24],
    ['25 hours', '2037-11-01T07:00:00Z', 25],
  ] as const)
    t.test(`a day of ${name} has one day's limit, not more and not less`, async (t) => {
      const startMs = Date.parse(start)
      const { quota, time } = await make(t, new Date(startMs - 1000).toISOString(), { limits: { ...roomy, rpd: 30 } })
      await time.jump(startMs - 1 - time.nowMs)
      heldBy(await quota.reserve(ask({ requests: 30 })))
      t.match(await quota.reserve(ask()), { granted: false, limitType: 'rpd', retryAfterMs: 2 })
      let granted = 0
      for (await time.jump(1); time.nowMs < startMs + hours * hourMs; await time.jump(hourMs / 2))
        granted += await grantsOf(quota, 1)
      t.equal(granted, 30)
      t.equal(time.nowMs, startMs + hours * hourMs)
      t.ok((await quota.reserve(ask())).granted, 'the next day begins')
    })

  t.test('a release after midnight does not make the new day longer', async (t) => {
    const { quota, time } = await make(t, '2037-07-02T06:59:59Z', { limits: { ...roomy, rpd: 10, tpd: 100 } })
    const yesterdays = heldBy(await quota.reserve(ask({ requests: 10, tokens: 100 })))
    await time.pass(1000)
    heldBy(await quota.reserve(ask({ requests: 9, tokens: 90 })))
    yesterdays.release()
    t.ok((await quota.reserve(ask({ tokens: 10 }))).granted)
    t.notOk((await quota.reserve(ask())).granted)
  })

  t.test('releases of both days in the bucket that holds midnight go each to its own day', async (t) => {
    const { quota, time } = await make(t, '2037-07-02T06:59:59.995Z', { limits: { ...roomy, rpd: 10 } })
    const yesterdays = heldBy(await quota.reserve(ask({ requests: 5 })))
    await time.pass(10)
    const todays = heldBy(await quota.reserve(ask()))
    heldBy(await quota.reserve(ask({ requests: 6 })))
    todays.release()
    yesterdays.release()
    t.equal(await grantsOf(quota, 20), 4)
    t.match((await quota.usage()).requests.perDay, { current: 10 })
  })
}

t.test('days in memory', async (t) =>
  days(t, async (_t, start, options) => {
    const time = new VirtualTime(start)
    return { quota: createQuotaClient({ pool: 'days', limits: roomy, ...options }, time.runtime()), time }
  }),
)

t.test('days in Redis', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  days(t, async (t, start, options) => {
    const pool = new VirtualPool(t, redis, start)
    return { quota: await pool.servingInstance(options), time: pool.time }
  })

  for (const [day, midnight] of [
    ['an ordinary day', '2037-07-02T07:00:00Z'],
    ['the day of 23 hours', '2037-03-09T07:00:00Z'],
    ['the day of 25 hours', '2037-11-02T08:00:00Z'],
  ] as const)
    t.test(`${day} ends under load of three instances: each day has its limit, not more and not less`, async (t) => {
      const pool = new VirtualPool(t, redis, new Date(Date.parse(midnight) - 10_000).toISOString())
      const limits = { ...roomy, rpd: 100 }
      const quotas = [1, 2, 3].map(() => pool.instance({ limits, newPool: 'open' }))
      await pool.time.pass(5000)
      const granted = { before: 0, after: 0 }
      for (let step = 0; step < 20; step++) {
        const phase = pool.time.nowMs < Date.parse(midnight) ? 'before' : 'after'
        const counts = await Promise.all(quotas.map((quota) => grantsOf(quota, 10)))
        for (const count of counts) granted[phase] += count
        await pool.time.pass(500)
      }
      t.same(granted, { before: 100, after: 100 })
    })

  t.test(
    'an instance whose clock is days away from that of Redis does not begin the day anew with each call',
    async (t) => {
      const pool = new VirtualPool(t, redis)
      pool.clockAheadMs = 80 * hourMs
      const quota = await pool.servingInstance({ limits: { ...roomy, rpd: 10 } })
      heldBy(await quota.reserve(ask({ requests: 10 })))
      const runtime = pool.time.runtime()
      runtime.wallAheadMs = -80 * hourMs
      const other = await pool.servingInstance({ limits: { ...roomy, rpd: 10 } }, runtime)
      for (const asked of [quota, other, quota, other]) {
        const refused = await asked.reserve(ask())
        t.match(refused, { granted: false, reason: 'spent', limitType: 'rpd' })
        t.ok(!refused.granted && refused.retryAfterMs <= 25 * hourMs)
      }
    },
  )

  t.test('a tenant whose day and window have ended is forgotten', async (t) => {
    const pool = new VirtualPool(t, redis, '2037-07-02T06:50:00Z')
    const quota = await pool.servingInstance()
    for (const id of ['one', 'two']) heldBy(await quota.reserve(ask({ tenant: { id, limits: { rpd: 5 } } })))
    t.equal((await redis.hkeys(pool.key)).filter((field) => field.includes('tenant')).length, 4)
    await pool.time.pass(11 * 60_000)
    t.same(
      (await redis.hkeys(pool.key)).filter((field) => field.includes('tenant')),
      [],
    )
  })
})
