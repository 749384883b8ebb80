import fc from 'fast-check'
import t from 'tap'
import { type LimitRules, Limits } from '../src/limits.ts'

const UNLIMITED = { rpm: Infinity, inputTpm: Infinity, rpd: Infinity }

function limitsWithClock(
  limits: Partial<typeof UNLIMITED>,
  { dayTimeZone = 'UTC', startMs = Date.UTC(2026, 0, 10), ...rules }: Partial<LimitRules & { startMs: number }> = {},
) {
  const clock = { nowMs: startMs }
  const whole: LimitRules = {
    windowMs: 60_000,
    limitsPer: 'model',
    modelLimits: {},
    dayTimeZone,
    clock: () => clock.nowMs,
    ...rules,
  }
  return { clock, limits: new Limits({ ...UNLIMITED, ...limits }, whole) }
}

t.test('admits exactly rpm requests in any 60 s, however they arrive', (t) => {
  const property = fc.check(
    fc.property(fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 80 }), (gaps) => {
      const { clock, limits } = limitsWithClock({ rpm: 5 })
      const admitted: number[] = []
      for (const gap of gaps) {
        clock.nowMs += gap
        const inWindow = admitted.filter((atMs) => atMs > clock.nowMs - 60_000).length
        const verdict = limits.admit('m', 1)
        if ((verdict === undefined) !== inWindow < 5) return false
        if (!verdict) admitted.push(clock.nowMs)
      }
      return true
    }),
  )
  t.notOk(property.failed, fc.defaultReportMessage(property) ?? 'holds')
  t.end()
})

t.test('says how long to wait, and that wait is just enough', (t) => {
  const { clock, limits } = limitsWithClock({ rpm: 2, inputTpm: 100 })
  limits.admit('m', 60)
  clock.nowMs += 10_000
  limits.admit('m', 30)
  clock.nowMs += 1_000
  const verdict = limits.admit('m', 50)
  t.same(
    verdict?.violations.map(({ limit }) => limit),
    ['rpm', 'inputTpm'],
  )
  t.equal(verdict?.retryMs, 49_000)
  clock.nowMs += 48_999
  t.ok(limits.admit('m', 50))
  clock.nowMs += 1
  t.notOk(limits.admit('m', 50))
  t.end()
})

t.test('keeps every model apart', (t) => {
  const { limits } = limitsWithClock({ rpm: 1 })
  t.notOk(limits.admit('a', 1))
  t.notOk(limits.admit('b', 1))
  t.ok(limits.admit('a', 1))
  t.end()
})

t.test('a model with limits of its own has those, and the others the common ones', (t) => {
  const { clock, limits } = limitsWithClock({ rpm: 1 }, { modelLimits: { lite: { rpm: 2 }, closed: { rpd: 0 } } })
  t.notOk(limits.admit('lite', 1))
  clock.nowMs += 1_000
  t.notOk(limits.admit('lite', 1))
  t.match(limits.admit('lite', 1), { violations: [{ limit: 'rpm', value: 2 }], retryMs: 59_000 })
  t.notOk(limits.admit('best', 1))
  t.match(limits.admit('best', 1), { violations: [{ value: 1 }] })
  t.match(limits.admit('closed', 1), { violations: [{ limit: 'rpd', value: 0 }] })
  t.end()
})

t.test('holds all models together to one project limit, when told so', (t) => {
  const { limits } = limitsWithClock({ rpm: 2 }, { limitsPer: 'project' })
  t.notOk(limits.admit('a', 1))
  t.notOk(limits.admit('b', 1))
  t.match(limits.admit('b', 1), { violations: [{ limit: 'rpm', model: 'b' }] })
  t.end()
})

t.test('keeps a minute of another length, for time that is scaled', (t) => {
  const { clock, limits } = limitsWithClock({ rpm: 1 }, { windowMs: 6_000 })
  t.notOk(limits.admit('m', 1))
  clock.nowMs += 5_999
  t.equal(limits.admit('m', 1)?.retryMs, 1)
  clock.nowMs += 1
  t.notOk(limits.admit('m', 1))
  t.end()
})

t.test('starts a new day at midnight of the zone, not of UTC', (t) => {
  const beforeMidnightInLosAngeles = Date.UTC(2026, 0, 10, 7, 59, 30)
  const { clock, limits } = limitsWithClock(
    { rpd: 1 },
    { dayTimeZone: 'America/Los_Angeles', startMs: beforeMidnightInLosAngeles },
  )
  t.notOk(limits.admit('m', 1))
  t.equal(limits.admit('m', 1)?.violations[0]?.limit, 'rpd')
  clock.nowMs += 30_000
  t.notOk(limits.admit('m', 1))
  t.end()
})

t.test('a refusal takes nothing', (t) => {
  const { limits } = limitsWithClock({ inputTpm: 100 })
  t.ok(limits.admit('m', 101))
  t.notOk(limits.admit('m', 100))
  t.end()
})
