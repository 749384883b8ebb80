import { GeminiError } from '@knowalledge/gemini'
import { createMetrics } from '@knowalledge/metrics'
import { createQuotaClient, type QuotaClient, type QuotaLimits } from '@knowalledge/quota-client'
import { createResponseCache } from '@knowalledge/response-cache'
import t, { type Test } from 'tap'
import { answerKey, createGeneration, UnusableAnswer } from '../src/index.ts'
import { PlacesInLine } from '../src/places-in-line.ts'
import type { CallOptions, GenerationSpec, RunWait } from '../src/types.ts'
import { answerOf, contextOf, limits, specOf } from './fixtures.ts'

const models = ['best', 'next'] as const
type Model = (typeof models)[number]
type Answers = Partial<Record<Model, () => Promise<ReturnType<typeof answerOf>>>>

/** Two models with a pool each, over the in-memory twins; the calls that reached each of them. */
function twoModels(
  t: Test,
  options: { best?: Partial<QuotaLimits>; next?: Partial<QuotaLimits>; clock?: () => number } = {},
) {
  const quotaOf = (pool: Model) => createQuotaClient({ pool, limits: { ...limits, ...options[pool] } })
  const pools = { best: { quota: quotaOf('best') }, next: { quota: quotaOf('next') } }
  const cache = createResponseCache(options.clock ? { clock: options.clock } : {})
  const metrics = createMetrics({ models: [...models] })
  t.teardown(() => Promise.all([cache.close(), pools.best.quota.close(), pools.next.quota.close()]))
  const tools = { cache, metrics, timeoutMs: 5_000, random: () => 0 }
  const generation = createGeneration({ ...tools, poolOf: (model) => pools[model as Model] })
  const calls: Record<Model, number> = { best: 0, next: 0 }
  const ask = (topic: string, answers: Answers = {}, changes: Partial<GenerationSpec<string>> = {}) => {
    const call = async ({ model }: CallOptions) => {
      calls[model as Model] += 1
      return (await answers[model as Model]?.()) ?? answerOf(`${topic} by ${model}`)
    }
    return specOf(topic, call, { models, ...changes })
  }
  const charged = async () => [await requestsOf(pools.best.quota), await requestsOf(pools.next.quota)]
  return { generation, cache, metrics, tools, pools, calls, ask, charged }
}

async function requestsOf(quota: QuotaClient): Promise<number> {
  return (await quota.usage()).requests.perMinute.current
}

const failing = (kind: ConstructorParameters<typeof GeminiError>[0], details = {}) => {
  return async (): Promise<never> => {
    throw new GeminiError(kind, 'no', details)
  }
}
const unavailable = failing('unavailable', { retryable: true })

t.test('the best model answers as long as it can, and the answer names it', async (t) => {
  const { generation, ask, calls, charged } = twoModels(t)
  t.match(await generation.run(ask('Light'), contextOf()), { value: 'Light by best', model: 'best', layer: 'miss' })
  t.match(await generation.run(ask('Light'), contextOf()), { model: 'best', layer: 'memory' })
  t.same(calls, { best: 1, next: 0 })
  t.same(await charged(), [1, 0])
})

t.test(
  'the next model answers when the quota of the best one is spent, and only its own quota is charged',
  async (t) => {
    const { generation, ask, calls, charged } = twoModels(t, { best: { rpm: 1 } })
    await generation.run(ask('Light'), contextOf())
    t.match(await generation.run(ask('Sound'), contextOf()), { value: 'Sound by next', model: 'next' })
    t.same(calls, { best: 1, next: 1 })
    t.same(await charged(), [1, 1])
  },
)

t.test('the next model answers after 5xx and their retries, each charged to the model that was called', async (t) => {
  const { generation, ask, charged } = twoModels(t)
  t.match(await generation.run(ask('Light', { best: unavailable }), contextOf()), {
    model: 'next',
    fromFallback: false,
  })
  t.same(await charged(), [3, 1])
})

t.test('the next model answers when the best one is paused, has no quota at all, or does not exist', async (t) => {
  const pauses = [
    { limitType: 'rpd', untilDayEnds: true, terminal: false },
    { limitType: 'rpm', untilDayEnds: false, terminal: false, delayMs: 34_000 },
    { limitType: 'rpm', untilDayEnds: false, terminal: true },
  ]
  for (const pause of pauses) {
    const { generation, ask, calls } = twoModels(t)
    const answers = { best: failing('rate_limited', { pause }) }
    t.match(await generation.run(ask('Light', answers), contextOf()), { model: 'next' })
    t.match(await generation.run(ask('Sound', answers), contextOf()), { model: 'next' })
    t.same(calls, { best: 1, next: 2 }, 'a paused model is not called')
  }
  const { generation, ask } = twoModels(t)
  t.match(await generation.run(ask('Light', { best: failing('not_found') }), contextOf()), { model: 'next' })
})

t.test('no other model is called for input, content, a key or an answer that is not usable', async (t) => {
  for (const kind of ['rejected', 'blocked', 'malformed', 'not_configured', 'timeout'] as const) {
    const { generation, ask, calls } = twoModels(t)
    await t.rejects(generation.run(ask('Light', { best: failing(kind) }), contextOf()))
    t.same(calls, { best: 1, next: 0 }, kind)
  }
  const { generation, ask, calls } = twoModels(t)
  const accept = () => {
    throw new UnusableAnswer('no')
  }
  await t.rejects(generation.run(ask('Light', {}, { accept }), contextOf()), { code: 'gemini_bad_answer' })
  const reachesNobody = failing('unavailable', { reachedGemini: false })
  await t.rejects(generation.run(ask('Sound', { best: reachesNobody }), contextOf()), { code: 'gemini_unavailable' })
  t.same(calls, { best: 2, next: 0 })
})

t.test('a tenant that has spent its own limit is not served from the next pool', async (t) => {
  const { generation, ask, calls } = twoModels(t)
  const context = { ...contextOf(), tenant: { id: 'school', limits: { rpm: 1 } } }
  await generation.run(ask('Light'), context)
  await t.rejects(generation.run(ask('Sound'), context), { code: 'quota_exceeded', fields: { tenant: 'school' } })
  t.same(calls, { best: 1, next: 0 })
})

t.test('models that share a pool are not tried in turn when it refuses', async (t) => {
  const { pools, tools, ask, calls } = twoModels(t, { best: { rpm: 1 } })
  const generation = createGeneration({ ...tools, poolOf: () => pools.best })
  await generation.run(ask('Light'), contextOf())
  await t.rejects(generation.run(ask('Sound'), contextOf()), { code: 'quota_exceeded' })
  t.same(calls, { best: 1, next: 0 })
  t.match(await tools.metrics.registry.metrics(), /^quota_exceeded_total\{limit_type="rpm"\} 1$/m)
})

t.test('when no model answers, the error is that of the one that may answer first', async (t) => {
  const { generation, pools, ask } = twoModels(t, { next: { rpm: 1 } })
  await pools.best.quota.pause({ limitType: 'rpd' })
  await generation.run(ask('Light'), contextOf())
  const refused = await t.rejects(generation.run(ask('Sound'), contextOf()))
  t.match(refused, {
    code: 'quota_exceeded',
    message: 'RPM limit exceeded (1 per minute)',
    fields: { limit_type: 'rpm' },
  })
  t.ok((refused as unknown as { retryAfterSeconds: number }).retryAfterSeconds < 70, 'in a minute, not in a day')

  const other = twoModels(t)
  await other.pools.best.quota.pause({ limitType: 'rpd' })
  const dead = other.generation.run(other.ask('Light', { next: unavailable }), contextOf())
  await t.rejects(dead, { code: 'gemini_unavailable', statusCode: 503 }, 'a minute is less than a day')
})

t.test('an answer of a lesser model is used while it is fresh; one of the best model goes before it', async (t) => {
  const { generation, ask, calls, cache } = twoModels(t, { best: { rpm: 1 } })
  await generation.run(ask('Light'), contextOf())
  await generation.run(ask('Sound'), contextOf())
  t.match(await generation.run(ask('Sound'), contextOf()), { value: 'Sound by next', model: 'next', layer: 'memory' })
  t.same(calls, { best: 1, next: 1 })
  await cache.set(answerKey(ask('Sound'), 'best'), 'Sound by best, later')
  t.match(await generation.run(ask('Sound'), contextOf()), { value: 'Sound by best, later', model: 'best' })
})

t.test('identical questions share one call of each model that is tried', async (t) => {
  const { generation, ask, charged } = twoModels(t)
  const questions = Array.from({ length: 20 }, () => generation.run(ask('Light', { best: unavailable }), contextOf()))
  for (const answer of await Promise.all(questions)) t.match(answer, { value: 'Light by next', model: 'next' })
  t.same(await charged(), [3, 1])
})

t.test('a stale copy of any model of the chain answers when none of them does, and costs nothing', async (t) => {
  let now = Date.now()
  const { generation, ask, charged } = twoModels(t, { best: { rpm: 1 }, next: { rpm: 1 }, clock: () => now })
  await generation.run(ask('Light'), contextOf())
  await generation.run(ask('Sound'), contextOf())
  now += 3 * 3_600_000
  t.match(await generation.run(ask('Sound'), contextOf()), { model: 'next', layer: 'fallback', fromFallback: true })
  t.match(await generation.run(ask('Light'), contextOf()), { model: 'best', layer: 'fallback', fromFallback: true })
  t.same(await charged(), [1, 1])
})

t.test(
  'a client that leaves does not end a call of the next model that others wait for, nor charge it twice',
  async (t) => {
    const { generation, ask, charged, calls } = twoModels(t)
    const [called, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const slowNext = async () => {
      called.resolve()
      await gate.promise
      return answerOf('Light by next')
    }
    const first = new AbortController()
    const answers = { best: unavailable, next: slowNext }
    const leaving = generation.run(ask('Light', answers), contextOf(first.signal))
    await called.promise
    const staying = generation.run(ask('Light', answers), contextOf())
    while (calls.best < 6) await new Promise(setImmediate) // it has tried the best model for itself
    first.abort(new DOMException('gone', 'AbortError'))
    await t.rejects(leaving, { code: 'timeout' })
    gate.resolve()
    t.match(await staying, { model: 'next' })
    t.same(await charged(), [6, 1])
  },
)

const batch = { priority: 'batch' as const }
const topics = (count: number) => Array.from({ length: count }, (_, n) => `topic ${n}`)

t.test('explanations that a pool refuses are reserved together from the next one', async (t) => {
  const { generation, ask, charged } = twoModels(t, { best: { rpm: 5 } })
  await generation.run(ask('Light'), contextOf())
  const specs = topics(6).map((topic) => ask(topic, {}, batch))
  for (const result of await generation.runAll(specs, contextOf()))
    t.match(result, { status: 'fulfilled', value: { model: 'next' } })
  t.same(await charged(), [1, 6])
})

t.test('explanations that fit no pool are charged to none', async (t) => {
  const { generation, ask, charged } = twoModels(t, { best: { rpm: 5 }, next: { rpm: 6 } })
  const specs = topics(6).map((topic) => ask(topic, {}, batch))
  for (const result of await generation.runAll(specs, contextOf()))
    t.match(result, { status: 'rejected', reason: { code: 'presentation_too_large' } })
  t.same(await charged(), [0, 0])
})

t.test(
  'one explanation that fails at a model goes on to the next one by itself, and no item is made twice',
  async (t) => {
    const { generation, ask, charged } = twoModels(t)
    const specs = topics(3).map((topic, n) => ask(topic, n === 1 ? { best: unavailable } : {}, batch))
    const settled: number[] = []
    const results = await generation.runAll(specs, contextOf(), (_, index) => settled.push(index))
    t.same(
      results.map((result) => result.status === 'fulfilled' && result.value.model),
      ['best', 'next', 'best'],
    )
    t.same(settled.toSorted(), [0, 1, 2])
    t.same(await charged(), [5, 1])
  },
)

const waitOf = (ms: number): RunWait => {
  const places = new PlacesInLine()
  const owners = places.ownersFor(undefined)
  const expired = AbortSignal.timeout(ms)
  const closing = new AbortController().signal
  return { untilMs: performance.now() + ms, expired, places, owners, line: new Map(), closing }
}

t.test(
  'a client that may wait waits for the best model, and is sent on when its start would come too late',
  async (t) => {
    const { generation, ask, calls } = twoModels(t, { best: { rpm: 1 } })
    await generation.run(ask('Light'), contextOf())
    t.match(await generation.run(ask('Sound'), { ...contextOf(), wait: waitOf(20_000) }), { model: 'next' })
    const client = new AbortController()
    const waiting = Promise.withResolvers<void>()
    const wait = { ...waitOf(300_000), onPlace: () => waiting.resolve() }
    const inLine = generation.run(ask('Heat'), { ...contextOf(client.signal), wait })
    await waiting.promise
    t.same(calls, { best: 1, next: 1 })
    client.abort(new DOMException('gone', 'AbortError'))
    await t.rejects(inLine)
  },
)

t.test('nobody waits in the line of a model that is paused, unless it is the last one', async (t) => {
  const { generation, pools, ask, calls } = twoModels(t)
  await pools.best.quota.pause({ limitType: 'rpm', untilMs: Date.now() + 60_000 })
  const wait = () => ({ ...contextOf(), wait: waitOf(300_000) })
  t.match(await generation.run(ask('Light'), wait()), { model: 'next' })
  await pools.next.quota.pause({ limitType: 'rpm', untilMs: Date.now() + 60_000 })
  const client = new AbortController()
  const waiting = Promise.withResolvers<void>()
  const context = { ...contextOf(client.signal), wait: { ...waitOf(300_000), onPlace: () => waiting.resolve() } }
  const inLine = generation.run(ask('Sound'), context)
  await waiting.promise
  client.abort(new DOMException('gone', 'AbortError'))
  await t.rejects(inLine)
  t.same(calls, { best: 0, next: 1 })
})
