import { once } from 'node:events'
import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { createQuotaClient } from '../src/index.ts'
import { ask, heldBy, roomy } from './support/contract.ts'
import { FakeClock } from './support/fake-redis-clock.ts'
import { patientConnection } from './support/patience.ts'

t.test("Redis's clock", async (t) => {
  const server = await redisServerForTest(t)
  const connect = async () => {
    const redis = patientConnection(server)
    await once(redis, 'ready')
    return redis
  }
  const redis = await connect()
  const windowMs = 60_000

  t.test('use leaves the window with its bucket, the 241st, and not one sooner', async (t) => {
    const clock = new FakeClock(redis, '2037-07-01T12:00:00.050Z')
    const options = { pool: 'leave', limits: { ...roomy, rpm: 10 }, windowMs: 24_000 }
    const twin = createQuotaClient({ ...options, clock: () => clock.nowMs })
    for (const quota of [await clock.client(redis, options), twin]) {
      heldBy(await quota.reserve(ask({ requests: 9 })))
      await clock.move(12_000)
      heldBy(await quota.reserve(ask()))
      await clock.move(12_049)
      t.notOk((await quota.reserve(ask())).granted, 'in the 240th bucket after it')
      await clock.move(1)
      t.ok((await quota.reserve(ask({ requests: 9 }))).granted, 'in the 241st')
      t.notOk((await quota.reserve(ask())).granted, 'and no more than that')
      await quota.close()
      await clock.move(50)
    }
  })

  t.test('steps back by less than a window: what was used before stays used for a whole window more', async (t) => {
    const clock = new FakeClock(redis, '2037-07-01T12:00:00Z')
    const quota = await clock.client(redis, { pool: 'back', limits: { ...roomy, rpm: 10 }, windowMs })
    heldBy(await quota.reserve(ask({ requests: 10 })))
    await clock.move(-30_000, 250)
    t.notOk((await quota.reserve(ask())).granted)
    for (let passedMs = 250; passedMs < 60_000; passedMs += 10_000) {
      await clock.move(10_000)
      t.notOk((await quota.reserve(ask())).granted, `${passedMs} ms later`)
    }
    const refused = await quota.reserve(ask())
    if (refused.granted) return t.fail('the window has not passed yet')
    await clock.move(refused.retryAfterMs)
    t.ok((await quota.reserve(ask({ requests: 10 }))).granted)
    await quota.close()
  })

  t.test('steps back by hours: the quota is back after one window, not after hours', async (t) => {
    const clock = new FakeClock(redis, '2037-07-01T12:00:00Z')
    const quota = await clock.client(redis, { pool: 'hours', limits: { ...roomy, rpm: 10 }, windowMs })
    heldBy(await quota.reserve(ask({ requests: 10 })))
    await clock.move(-2 * 3_600_000, 250)
    const refused = await quota.reserve(ask())
    if (refused.granted) return t.fail('the use before the step is forgotten')
    t.ok(refused.retryAfterMs <= windowMs + 251)
    await clock.move(windowMs - 1000)
    t.notOk((await quota.reserve(ask())).granted)
    await clock.move(1251)
    t.ok((await quota.reserve(ask({ requests: 10 }))).granted)
    await quota.close()
  })

  for (const [day, midnight] of [
    ['an ordinary day', '2037-07-02T07:00:00Z'],
    ['the day of 23 hours', '2037-03-09T07:00:00Z'],
    ['the day of 25 hours', '2037-11-02T08:00:00Z'],
  ] as const)
    t.test(`${day} ends under load: each day has its limit, not more and not less`, async (t) => {
      const clock = new FakeClock(redis, midnight)
      clock.nowMs -= 3000
      const pool = `load ${day}`.replaceAll(' ', '-')
      const quotas = await Promise.all(
        [redis, await connect(), await connect()].map((own) =>
          clock.client(own, { pool, limits: { ...roomy, rpd: 100 }, windowMs }),
        ),
      )
      const granted = { before: 0, after: 0 }
      for (let step = 0; step < 12; step++) {
        const phase = clock.nowMs < Date.parse(midnight) ? 'before' : 'after'
        const verdicts = await Promise.all(
          quotas.flatMap((quota) => Array.from({ length: 10 }, () => quota.reserve(ask()))),
        )
        granted[phase] += verdicts.filter((verdict) => verdict.granted).length
        await clock.move(500)
      }
      t.same(granted, { before: 100, after: 100 })
      await Promise.all(quotas.map((quota) => quota.close()))
    })

  t.test('is days away from that of the instance: the day is still that of Redis', async (t) => {
    const clock = new FakeClock(redis, '2037-07-01T12:00:00Z')
    const quota = await clock.client(redis, { pool: 'skew', limits: { ...roomy, rpd: 10 }, windowMs })
    await redis.set('clock', String((clock.nowMs + 80 * 3_600_000) * 1000))
    heldBy(await quota.reserve(ask({ requests: 10 })))
    for (let call = 0; call < 5; call++)
      t.notOk((await quota.reserve(ask())).granted, 'the day is not begun anew by each call')
    const refused = await quota.reserve(ask())
    t.ok(!refused.granted && refused.retryAfterMs <= 25 * 3_600_000)
    await quota.close()
  })
})
