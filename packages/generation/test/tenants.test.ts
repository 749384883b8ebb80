import { GeminiError } from '@knowalledge/gemini'
import type { Tenant } from '@knowalledge/quota-client'
import type { HttpError } from '@knowalledge/service-kit'
import t from 'tap'
import { answerOf, contextOf, generationForTest, specOf } from './fixtures.ts'

const schoolA: Tenant = { id: 'school-a', limits: { rpm: 2 } }
const schoolB: Tenant = { id: 'school-b', limits: { rpm: 2 } }
const of = (tenant: Tenant | undefined) => ({ ...contextOf(), tenant })
const answered = (topic: string) => specOf(topic, async () => answerOf(topic))
const batch = { priority: 'batch' as const }

t.test("a tenant's own limit refuses the tenant, in words that say whose it is, and nobody else", async (t) => {
  const { generation, quota } = generationForTest(t)
  for (const topic of ['a', 'b']) await generation.run(answered(topic), of(schoolA))
  const error = (await t.rejects(generation.run(answered('c'), of(schoolA)))) as unknown as HttpError
  t.match(error, {
    code: 'quota_exceeded',
    statusCode: 429,
    message: 'RPM limit of school-a exceeded (2 per minute)',
    fields: { limit_type: 'rpm', tenant: 'school-a', retry_after: `${error.retryAfterSeconds} seconds` },
  })
  t.match(await generation.run(answered('a'), of(schoolA)), { cached: true })
  for (const tenant of [schoolB, undefined])
    t.match(await generation.run(answered(`of ${tenant?.id}`), of(tenant)), { cached: false })
  t.equal((await quota.usage()).requests.perMinute.current, 4, 'what a tenant uses is of the shared quota')
})

t.test('what could never fit the limits of a tenant says so', async (t) => {
  const { generation } = generationForTest(t)
  const poor = { id: 'poor', limits: { tpm: 1_000 } }
  await t.rejects(generation.run(answered('a'), of(poor)), {
    message: 'This request can never fit the quota of poor: 1000 tokens per minute.',
    fields: { limit_type: 'tpm', tenant: 'poor' },
  })
})

t.test("the shared quota's refusal names no tenant", async (t) => {
  const { generation } = generationForTest(t, { quota: { limits: { rpm: 1, rpd: 9, tpm: 9_000, tpd: 9_000 } } })
  await generation.run(answered('a'), of(schoolA))
  const error = (await t.rejects(generation.run(answered('b'), of(schoolA)))) as unknown as HttpError
  t.equal(error.message, 'RPM limit exceeded (1 per minute)')
  t.notOk('tenant' in error.fields)
})

t.test('each retry is the tenant’s, too', async (t) => {
  const { generation } = generationForTest(t)
  let calls = 0
  const failing = specOf('a', async () => {
    calls++
    throw new GeminiError('unavailable', 'fetch failed', { retryable: true })
  })
  await t.rejects(generation.run(failing, of(schoolA)), { code: 'gemini_unavailable' })
  t.equal(calls, 2, 'the third would have been beyond the limit')
  await t.rejects(generation.run(answered('b'), of(schoolA)), { message: /limit of school-a exceeded/ })
})

t.test('a presentation is reserved within the limits of its tenant, all or nothing', async (t) => {
  const { generation, quota } = generationForTest(t)
  const tenant = { id: 'school-a', limits: { rpm: 5 } }
  const presentation = (...topics: string[]) =>
    generation.runAll(
      topics.map((topic) => specOf(topic, async () => answerOf(topic), batch)),
      of(tenant),
    )
  for (const result of await presentation('a', 'b', 'c', 'd', 'e')) {
    const message = /at most 4 fit the quota of school-a \(4 requests per minute for presentations\)/
    t.match(result, { reason: { code: 'presentation_too_large', message } })
  }
  for (const result of await presentation('a', 'b', 'c')) t.equal(result.status, 'fulfilled')
  for (const result of await presentation('d', 'e')) {
    t.match(result, { reason: { message: 'RPM limit of school-a exceeded (4 per minute)', fields: tenantOf(tenant) } })
  }
  t.equal((await quota.usage()).requests.perMinute.current, 3)
})

const tenantOf = ({ id }: Tenant) => ({ tenant: id })

t.test(
  "who waits for a call that its tenant's limit refuses asks for himself, unless it is his limit too",
  async (t) => {
    const { generation, quota } = generationForTest(t)
    for (const topic of ['a', 'b']) await generation.run(answered(topic), of(schoolA))
    let calls = 0
    const asked = () => specOf('c', async () => answerOf(++calls))
    const [leader, ofB, ofNobody, ofA] = await Promise.allSettled(
      [schoolA, schoolB, undefined, schoolA].map((tenant) => generation.run(asked(), of(tenant))),
    )
    t.match(leader, { status: 'rejected', reason: { fields: { tenant: 'school-a' } } })
    t.match(ofB, { status: 'fulfilled', value: { value: 1 } })
    t.match(ofNobody, { status: 'fulfilled', value: { value: 1 } })
    t.match(ofA?.status === 'rejected' ? ofA.reason.fields : { tenant: 'school-a' }, { tenant: 'school-a' })
    t.equal(calls, 1)
    t.equal((await quota.usage()).requests.perMinute.current, 3)
  },
)

t.test('one who waits meets the refusals of several tenants one after another, and then gets his answer', async (t) => {
  const { generation } = generationForTest(t)
  const refused = ['x', 'y', 'z'].map((id) => ({ id, limits: { rpm: 0 } }))
  const asked = [...refused, undefined].map((tenant) => generation.run(answered('Light'), of(tenant)))
  const results = await Promise.allSettled(asked)
  t.match(results.at(-1), { status: 'fulfilled', value: { value: 'Light' } })
  for (const [index, result] of results.slice(0, -1).entries()) {
    // By his own limit, if he came to ask before the answer was there; never by another's.
    if (result.status === 'rejected') t.equal(result.reason.fields.tenant, refused[index]?.id)
  }
})

t.test('an explanation of a presentation that its tenant may not have is asked for by who waits for it', async (t) => {
  const { generation } = generationForTest(t)
  const explanation = (topic: string) => specOf(topic, async () => answerOf(topic), batch)
  const [refused, alone, together] = await Promise.all([
    generation.runAll(['a', 'b', 'c', 'd'].map(explanation), of(schoolA)),
    generation.run(explanation('a'), of(undefined)),
    generation.runAll(['b', 'e'].map(explanation), of({ id: 'school-c', limits: { rpm: 10 } })),
  ])
  for (const result of refused) t.match(result, { reason: { code: 'presentation_too_large' } })
  t.match(alone, { value: 'a' })
  t.match(together, [{ value: { value: 'b' } }, { value: { value: 'e' } }])
})
