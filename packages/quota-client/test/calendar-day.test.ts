import t from 'tap'
import { CalendarDay } from '../src/calendar-day.ts'
import { createQuotaClient } from '../src/index.ts'
import { ask, heldBy, roomy } from './support/contract.ts'

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

for (const [name, start, hours] of [
  ['23 hours', '2037-03-08T08:00:00Z', 23],
  ['25 hours', '2037-11-01T07:00:00Z', 25],
] as const)
  t.test(`a day of ${name} has one day's limit, not more and not less`, async (t) => {
    let nowMs = Date.parse(start) - 1
    const quota = createQuotaClient({ pool: 'dst', limits: { ...roomy, rpd: 30 }, clock: () => nowMs })
    heldBy(await quota.reserve(ask({ requests: 30 })))
    const refused = await quota.reserve(ask())
    t.match(refused, { granted: false, limitType: 'rpd', retryAfterMs: 1 })
    let granted = 0
    for (nowMs += 1; nowMs < Date.parse(start) + hours * hourMs; nowMs += hourMs / 2)
      if ((await quota.reserve(ask())).granted) granted += 1
    t.equal(granted, 30)
    t.ok((await quota.reserve(ask())).granted, 'the next day begins')
  })

t.test('a refund after midnight does not make the new day longer', async (t) => {
  let nowMs = Date.parse('2037-07-02T06:59:59Z')
  const quota = createQuotaClient({ pool: 'midnight', limits: { ...roomy, rpd: 10, tpd: 100 }, clock: () => nowMs })
  const yesterdays = heldBy(await quota.reserve(ask({ requests: 10, tokens: 100 })))
  nowMs += 1000
  heldBy(await quota.reserve(ask({ requests: 9, tokens: 90 })))
  yesterdays.release()
  t.ok((await quota.reserve(ask({ tokens: 10 }))).granted)
  t.notOk((await quota.reserve(ask())).granted)
})
