import { setTimeout as delay } from 'node:timers/promises'
import { redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { CalendarDay } from '../src/calendar-day.ts'
import { createQuotaClient, type QuotaClient, type QuotaClientOptions } from '../src/index.ts'
import { ask, heldBy, roomy } from './support/contract.ts'
import { patience, patientConnection } from './support/patience.ts'

const windowMs = 1200
const bucketMs = windowMs / 240

type Make = (options: Omit<QuotaClientOptions, 'pool'>) => QuotaClient

function waits(t: Test, make: Make): void {
  t.test('is always enough, and never more than one bucket too long', async (t) => {
    for (let round = 0; round < 4; round++) {
      const quota = make({ limits: { ...roomy, rpm: 6, tpm: 600 }, windowMs })
      for (const tokens of [100, 50, 150]) {
        heldBy(await quota.reserve(ask({ requests: 2, tokens })))
        await delay(Math.random() * 60)
      }
      const request = ask({ requests: 1, tokens: 400 + round * 50 }) // needs the first one, or two, or all to leave
      const refused = await quota.reserve(request)
      const refusedAt = performance.now()
      if (refused.granted) return t.fail('six of six were taken')
      // A bucket before the end nothing may be granted: asked until then, at most every other millisecond.
      const endsAt = refusedAt + refused.retryAfterMs
      for (;;) {
        const askedAt = performance.now()
        if (askedAt > endsAt - bucketMs - 2) break
        if ((await quota.reserve(request)).granted && performance.now() < endsAt - bucketMs - 2)
          return t.fail(`granted ${endsAt - askedAt} ms early`)
        await delay(2)
      }
      await delay(endsAt - performance.now())
      t.match(await quota.reserve(request), { granted: true }, `after ${refused.retryAfterMs} ms`)
      await quota.close()
    }
  })

  t.test('at a day limit is the time to the end of the day', async (t) => {
    const quota = make({ limits: { ...roomy, rpd: 3 }, dayTimeZone: 'Asia/Kathmandu' })
    heldBy(await quota.reserve(ask({ requests: 3 })))
    const refused = await quota.reserve(ask())
    const leftMs = new CalendarDay('Asia/Kathmandu').endOf(Date.now()) - Date.now()
    t.match(refused, { granted: false, limitType: 'rpd', limit: 3 })
    t.ok(!refused.granted && Math.abs(refused.retryAfterMs - leftMs) < 1000)
    await quota.close()
  })
}

t.test('retryAfterMs in memory', async (t) => waits(t, (options) => createQuotaClient({ ...options, pool: 'retry' })))

t.test('retryAfterMs in Redis', async (t) => {
  const server = await redisServerForTest(t)
  let pools = 0
  waits(t, (options) =>
    createQuotaClient({ ...patience, ...options, redis: patientConnection(server), pool: `retry-${pools++}` }),
  )
})
