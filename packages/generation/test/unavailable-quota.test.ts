import { createMetrics } from '@knowalledge/metrics'
import {
  createQuotaClient,
  type QuotaClient,
  type Refused,
  systemRuntime,
  type Verdict,
} from '@knowalledge/quota-client'
import { createResponseCache } from '@knowalledge/response-cache'
import type { HttpError } from '@knowalledge/service-kit'
import t, { type Test } from 'tap'
import { createGeneration } from '../src/index.ts'
import { answerOf, contextOf, limits, specOf } from './fixtures.ts'

const refused = (changes: Partial<Refused>): Refused => ({
  granted: false,
  degraded: false,
  reason: 'unavailable',
  limitType: 'upstream',
  limit: 0,
  retryAfterMs: 5_000,
  ...changes,
})

/** The real path over a quota whose answers the test changes. */
function generationOver(t: Test, change: (verdict: Verdict, call: number) => Verdict, runtime = {}) {
  const quota = createQuotaClient({ pool: 'test', limits }, { ...systemRuntime, ...runtime })
  const cache = createResponseCache({})
  t.teardown(() => Promise.all([quota.close(), cache.close()]))
  let calls = 0
  const reserve: QuotaClient['reserve'] = async (request) => change(await quota.reserve(request), ++calls)
  const changed = { ...quota, usage: () => quota.usage(), pause: quota.pause.bind(quota), reserve } as QuotaClient
  const metrics = createMetrics({ models: ['model'] })
  const pool = { quota: changed }
  const generation = createGeneration({ poolOf: () => pool, cache, metrics, timeoutMs: 20_000, random: () => 0 })
  return { generation, quota, calls: () => calls }
}

t.test('a Redis that cannot be used for a moment is a short wait and no error', async (t) => {
  const { generation, calls } = generationOver(t, (verdict, call) => (call < 3 ? refused({}) : verdict))
  const answer = await generation.run(
    specOf('Light', async () => answerOf('served')),
    contextOf(),
  )
  t.match(answer, { value: 'served' })
  t.equal(calls(), 3)
})

t.test('a hold is a 503 at once, with its reason and its seconds', async (t) => {
  const hold = refused({ reason: 'hold', cause: 'restart', retryAfterMs: 42_300 })
  const { generation, calls } = generationOver(t, () => hold)
  const asked = generation.run(
    specOf('Light', async () => answerOf('never')),
    contextOf(),
  )
  const error = (await t.rejects(asked)) as unknown as HttpError
  t.match(error, {
    code: 'quota_unavailable',
    statusCode: 503,
    retryAfterSeconds: 43,
    fields: { retry_after: '43 seconds' },
    message: 'New answers are on hold for 43 s: the record of the last minute was restarted. Try again then.',
  })
  t.equal(calls(), 1)
})

t.test('a client that leaves ends the wait for Redis', async (t) => {
  const client = new AbortController()
  const { generation } = generationOver(t, () => refused({}))
  const asked = generation.run(
    specOf('Light', async () => answerOf('never')),
    contextOf(client.signal),
  )
  client.abort()
  await t.rejects(asked)
})

t.test('a grant that is too old is not used: the call reserves again, and both stay charged', async (t) => {
  let nowMs = Date.UTC(2026, 10, 24)
  const clock = { monotonicMs: () => nowMs, wallMs: () => nowMs }
  const age = (verdict: Verdict, call: number) => {
    if (call === 1) nowMs += 501
    return verdict
  }
  const { generation, quota, calls } = generationOver(t, age, clock)
  let sent = 0
  const spec = specOf('Light', async () => {
    sent += 1
    return answerOf('served')
  })
  t.match(await generation.run(spec, contextOf()), { value: 'served' })
  t.equal(calls(), 2)
  t.equal(sent, 1)
  t.equal((await quota.usage()).requests.perMinute.current, 2)
})
