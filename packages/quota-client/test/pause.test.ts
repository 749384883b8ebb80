import { setTimeout as delay } from 'node:timers/promises'
import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { createQuotaClient } from '../src/index.ts'
import { PauseGate } from '../src/pause-gate.ts'
import { factorAt, shrinkLimit, shrunk, whole } from '../src/shrinkage.ts'
import { ask, heldBy, roomy } from './support/contract.ts'
import { patience, patientConnection } from './support/patience.ts'

t.test('a pause is seen by every instance within one round trip', async (t) => {
  const server = await redisServerForTest(t)
  const quotas = [1, 2, 3].map(() =>
    createQuotaClient({ ...patience, redis: patientConnection(server), pool: 'pause', limits: roomy }),
  )
  for (const quota of quotas) heldBy(await quota.reserve(ask()))
  const untilMs = Date.now() + 60_000
  await quotas[0]?.pause({ limitType: 'rpd', untilMs })
  for (const quota of quotas) {
    t.match(await quota.reserve(ask()), { granted: false, reason: 'paused', limitType: 'rpd', limit: roomy.rpd })
    t.match((await quota.usage()).pause, { limitType: 'rpd', untilMs })
    await quota.close()
  }
})

t.test('when it ends, one probe per instance goes first, and the others wait until it was served', async (t) => {
  const server = await redisServerForTest(t)
  const quotas = [1, 2].map(() =>
    createQuotaClient({ ...patience, redis: patientConnection(server), pool: 'probe', limits: roomy }),
  )
  for (const quota of quotas.slice(0, 1)) heldBy(await quota.reserve(ask()))
  await quotas[0]?.pause({ limitType: 'rpm', untilMs: Date.now() + 80 })
  await delay(90)
  for (const quota of quotas) {
    const verdicts = await Promise.all(Array.from({ length: 20 }, () => quota.reserve(ask())))
    t.same(
      verdicts.map((verdict) => verdict.granted),
      [true, ...Array(19).fill(false)],
      'one of a volley',
    )
    t.match(verdicts[1], { reason: 'paused', limitType: 'rpm' })
    const [first] = verdicts
    if (first === undefined) return t.fail('a volley of 20 has a first')
    const probe = heldBy(first)
    t.match(await quota.reserve(ask()), { granted: false, reason: 'paused' }, 'the probe is still out')
    probe.release()
    const next = await quota.reserve(ask())
    t.ok(next.granted, 'it never reached the provider: the next call is the probe')
    t.match(await quota.reserve(ask()), { granted: false, reason: 'paused' })
    heldBy(next).settle(0)
    const after = await Promise.all(Array.from({ length: 20 }, () => quota.reserve(ask())))
    t.ok(
      after.every((verdict) => verdict.granted),
      'it was served: the gate is open',
    )
    await quota.close()
  }
})

t.test('a probe that never comes back is replaced after a sixth of a window', async (t) => {
  const gate = new PauseGate(60_000)
  gate.learn({ limitType: 'upstream', untilMs: 5000 })
  t.match(gate.shut(4000), { limitType: 'upstream', retryAfterMs: 1001 })
  t.equal(gate.shut(5000), undefined)
  t.equal(gate.pass(5000), 5000)
  t.match(gate.shut(6000), { retryAfterMs: 9001 })
  t.equal(gate.shut(15_000), undefined)
  t.equal(gate.pass(15_000), 5000, 'another probe')
  gate.probed(5000, true)
  t.equal(gate.shut(15_001), undefined)
  t.equal(gate.pass(15_001), undefined, 'no probe is needed any more')
})

t.test('a day that is used up pauses until the day ends, when the provider names no time', async (t) => {
  const clock = () => Date.parse('2037-03-08T09:00:00Z') // 01:00 in Los Angeles on a day of 23 hours
  const quota = createQuotaClient({ pool: 'day', limits: roomy, clock })
  await quota.pause({ limitType: 'rpd' })
  t.match((await quota.usage()).pause, { limitType: 'rpd', untilMs: Date.parse('2037-03-09T07:00:00Z') })
})

t.test('without a delay from the provider the limit shrinks by a fifth and comes back over five windows', async (t) => {
  let nowMs = Date.parse('2037-07-01T12:00:00Z')
  const quota = createQuotaClient({ pool: 'shrink', limits: { ...roomy, rpm: 100 }, clock: () => nowMs })
  await quota.pause({ limitType: 'upstream' })
  t.match((await quota.usage()).pause, { limitType: 'upstream', untilMs: nowMs + 5000 }, 'five seconds of rest')
  nowMs += 5000
  heldBy(await quota.reserve(ask())).settle(0)
  const fill = async () => {
    let granted = 0
    while ((await quota.reserve(ask())).granted) granted += 1
    return granted
  }
  t.equal(1 + (await fill()), 80, 'four fifths, and what came back in five seconds is not a whole request')
  nowMs += 60_250
  t.equal(await fill(), 84)
  nowMs += 5 * 60_000
  t.equal(await fill(), 100)
})

t.test('the refusals of one volley shrink the limit once, later ones again, and never below a fifth', async (t) => {
  const first = shrunk(whole, 1000, 60_000)
  t.same(first, { sinceMs: 1000, factor: 0.8 })
  t.equal(shrunk(first, 10_999, 60_000), first)
  const second = shrunk(first, 31_000, 60_000)
  t.ok(Math.abs(second.factor - 0.82 * 0.8) < 1e-9)
  let shrinkage = whole
  for (let volley = 1; volley < 20; volley++) shrinkage = shrunk(shrinkage, volley * 10_000, 60_000)
  t.ok(shrinkage.factor >= 0.2)
  t.equal(factorAt(shrinkage, 1e9, 60_000), 1)
  t.equal(shrinkLimit(1, 0.5), 1, 'one call stays possible')
})
