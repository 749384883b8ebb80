import { GeminiError } from '@knowalledge/gemini'
import type { HttpError } from '@knowalledge/service-kit'
import t, { type Test } from 'tap'
import { type BudgetClient, createClientBudget } from '../src/client-budget.ts'
import { answerOf, contextOf, generationForTest, limits, specOf } from './fixtures.ts'

const [a, b]: BudgetClient[] = [{ id: 'browser a', address: '192.0.2.1' }, { id: 'tenant b' }]
const of = (client: BudgetClient | undefined) => ({ ...contextOf(), client })
const answered = (topic: string) => specOf(topic, async () => answerOf(topic))

function sharedForTest(t: Test, quotaLimits = limits) {
  const clock = { nowMs: Date.UTC(2030, 0, 2, 20) }
  const options = { pool: 'test', limits, windowMs: 60_000, dayTimeZone: 'UTC', sharePerDay: 0.25 }
  const budget = createClientBudget({ ...options, clock: () => clock.nowMs })
  return { ...generationForTest(t, { budget, quota: { limits: quotaLimits } }), clock }
}

t.test('a client that has used its share gets a 429 that says so, while others go on', async (t) => {
  const { generation, quota, metrics } = sharedForTest(t)
  await generation.run(answered('of b'), of(b))
  for (let n = 0; n < 7; n++) await generation.run(answered(`a ${n}`), of(a))
  const error = (await generation.run(answered('one more'), of(a)).catch((error) => error)) as HttpError
  t.match(error, {
    code: 'quota_exceeded',
    statusCode: 429,
    retryAfterSeconds: 60,
    fields: { limit_type: 'client', retry_after: '60 seconds' },
    message: /share of new answers/,
  })
  t.match(await metrics.registry.metrics(), /quota_exceeded_total\{[^}]*limit_type="client"[^}]*\} 1/)
  t.match(await generation.run(answered('a 0'), of(a)), { cached: true }, 'what is cached costs no share')
  for (let n = 0; n < 3; n++) t.match(await generation.run(answered(`b ${n}`), of(b)), { cached: false })
  t.equal((await quota.usage()).requests.perMinute.current, 11, 'what is refused takes nothing of the quota')
})

t.test('a presentation is taken from the share as a whole, or not at all', async (t) => {
  const { generation } = sharedForTest(t)
  await generation.run(answered('of b'), of(b))
  const presentation = (name: string, length: number) =>
    generation.runAll(
      Array.from({ length }, (_, n) => ({ ...answered(`${name} ${n}`), priority: 'batch' as const })),
      of(a),
    )
  const refused = await presentation('large', 8)
  for (const result of refused) t.match(result, { status: 'rejected', reason: { fields: { limit_type: 'client' } } })
  for (const result of await presentation('small', 7)) t.match(result, { status: 'fulfilled' })
})

t.test('who waits for a call that is refused for the share of another client asks for itself', async (t) => {
  const { generation } = sharedForTest(t)
  await generation.run(answered('of b'), of(b))
  for (let n = 0; n < 7; n++) await generation.run(answered(`a ${n}`), of(a))
  const [ofA, ofB] = await Promise.allSettled([a, b].map((client) => generation.run(answered('both'), of(client))))
  t.match(ofA, { status: 'rejected', reason: { fields: { limit_type: 'client' } } })
  t.match(ofB, { status: 'fulfilled' })
})

t.test('a call that never reached Gemini costs no share', async (t) => {
  const { generation } = sharedForTest(t)
  await generation.run(answered('of b'), of(b))
  const unreachable = async () => {
    throw new GeminiError('unavailable', 'refused', { reachedGemini: false })
  }
  for (let n = 0; n < 9; n++)
    await t.rejects(generation.run(specOf(`x ${n}`, unreachable), of(a)), { code: 'gemini_unavailable' })
  for (let n = 0; n < 7; n++) t.match(await generation.run(answered(`a ${n}`), of(a)), { cached: false })
})

t.test('nor does one that the quota refuses', async (t) => {
  const { generation } = sharedForTest(t, { ...limits, rpm: 3 })
  await generation.run(answered('of b'), of(b))
  for (let n = 0; n < 2; n++) await generation.run(answered(`a ${n}`), of(a))
  for (let n = 0; n < 9; n++)
    await t.rejects(generation.run(answered(`refused ${n}`), of(a)), { message: /RPM limit exceeded/ })
})
