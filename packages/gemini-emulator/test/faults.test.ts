import t from 'tap'
import { FAULT_KINDS, type FaultKind } from '../src/fault-kinds.ts'
import { FaultStore } from '../src/faults.ts'
import { build, contents, IMAGE_MODEL, IMAGEN_MODEL, SUBTOPICS, TEXT_MODEL } from './build.ts'

const SUBJECT = { task: 'text', model: 'm', system: 'a system', prompt: 'a prompt' } as const

t.test('a fault with times serves exactly that many calls, however many arrive at once', async (t) => {
  const { app, ask } = build(t, { limits: { rpm: Infinity } })
  app.emulator.faults.add({ kind: '503', times: 7 })
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(`Topic: ${i}`)))
  t.equal(answers.filter(({ status }) => status === 503).length, 7)
  t.equal(answers.filter(({ status }) => status === 200).length, 43)
  t.same(app.emulator.counters().faults, { 503: 7 })
})

t.test('a share is seeded: the same calls fail again after the same seed', (t) => {
  const run = (seed: number) => {
    const store = new FaultStore()
    store.add({ kind: '500', share: 0.3, seed })
    return Array.from({ length: 200 }, () => store.take(SUBJECT).length)
  }
  t.same(run(7), run(7))
  t.not(run(7).join(''), run(8).join(''))
  const served = run(7).filter((count) => count > 0).length
  t.ok(served > 40 && served < 80, `${served} of 200`)
  t.end()
})

t.test('matches by task, model and prompt, and leaves other calls alone', (t) => {
  const store = new FaultStore()
  store.add({ kind: '500', match: { task: 'vision' } })
  store.add({ kind: '503', match: { model: 'other' } })
  store.add({ kind: '429_bare', match: { prompt: 'a system' } })
  t.same(
    store.take(SUBJECT).map(({ kind }) => kind),
    ['429_bare'],
  )
  t.same(store.take({ ...SUBJECT, system: '' }), [])
  t.end()
})

t.test('a delay goes together with another fault, two others do not', (t) => {
  const store = new FaultStore()
  store.add({ kind: '500', times: 1 })
  store.add({ kind: 'delay', delayMs: 5 })
  store.add({ kind: '503', times: 1 })
  const kinds = () => store.take(SUBJECT).map(({ kind }) => kind)
  t.same(kinds(), ['500', 'delay'])
  t.same(kinds(), ['delay', '503'])
  t.same(kinds(), ['delay'])
  store.clear()
  t.same(kinds(), [])
  t.end()
})

t.test('refuses times together with share', (t) => {
  t.throws(() => new FaultStore().add({ kind: '500', times: 1, share: 0.5 }), /not both/)
  t.end()
})

const REFUSALS: [FaultKind, number, string, RegExp][] = [
  ['429_rpm', 429, 'RESOURCE_EXHAUSTED', /limit: 15, model: gemini-3.8-flash/],
  ['429_rpd', 429, 'RESOURCE_EXHAUSTED', /generate_content_free_tier_requests, limit: 1500/],
  ['429_input_tpm', 429, 'RESOURCE_EXHAUSTED', /input_token_count, limit: 1000000/],
  ['429_rpd_and_rpm', 429, 'RESOURCE_EXHAUSTED', /limit: 1500[\s\S]*limit: 15,/],
  ['429_limit_zero', 429, 'RESOURCE_EXHAUSTED', /limit: 0/],
  ['429_bare', 429, 'RESOURCE_EXHAUSTED', /^Resource has been exhausted \(e\.g\. check quota\)\.$/],
  ['429_prepay', 429, 'RESOURCE_EXHAUSTED', /^Your prepayment credits are depleted\./],
  ['429_spending_cap', 429, 'RESOURCE_EXHAUSTED', /monthly spending cap\./],
  ['400_invalid_key', 400, 'INVALID_ARGUMENT', /^API key not valid\. Please pass a valid API key\.$/],
  ['400_invalid_argument', 400, 'INVALID_ARGUMENT', /invalid argument/],
  ['400_free_tier', 400, 'FAILED_PRECONDITION', /free tier is not available in your country/],
  ['401', 401, 'UNAUTHENTICATED', /^Request had invalid authentication credentials/],
  ['403_no_key', 403, 'PERMISSION_DENIED', /^Method doesn't allow unregistered callers/],
  ['403_leaked_key', 403, 'PERMISSION_DENIED', /^Your API key was reported as leaked\./],
  ['403_suspended_key', 403, 'PERMISSION_DENIED', /api_key:a-key/],
  ['404', 404, 'NOT_FOUND', /is not found for API version v1beta, or is not supported for generateContent/],
  ['500', 500, 'INTERNAL', /^An internal error has occurred\. Please retry or report in /],
  ['503', 503, 'UNAVAILABLE', /^This model is currently experiencing high demand\./],
]

t.test('every refusal has the status, the gRPC status and the message that Google sends', async (t) => {
  const { app, ask } = build(t)
  for (const [kind, status, grpcStatus, message] of REFUSALS) {
    app.emulator.reset()
    app.emulator.faults.add({ kind, times: 1 })
    const answer = await ask('Topic: Rome')
    t.equal(answer.status, status, kind)
    t.equal(answer.headers['content-type'], 'application/json; charset=UTF-8')
    t.match(answer.json, { error: { code: status, status: grpcStatus, message } }, kind)
    t.equal((await ask('Topic: Rome')).status, 200, 'the next one is served')
  }
})

t.test('a refusal takes no quota, a 5xx does', async (t) => {
  const { app, ask } = build(t)
  app.emulator.faults.add({ kind: '429_rpm', times: 1 })
  app.emulator.faults.add({ kind: '500', times: 1 })
  await ask('Topic: Rome')
  t.equal(app.emulator.counters().admitted, 0)
  await ask('Topic: Rome')
  t.equal(app.emulator.counters().admitted, 1)
})

t.test('the quota error is shaped as Google shapes it', async (t) => {
  const { app, ask } = build(t)
  app.emulator.faults.add({ kind: '429_rpd' })
  t.same((await ask('Topic: Rome')).json.error.details, [
    {
      '@type': 'type.googleapis.com/google.rpc.Help',
      links: [
        {
          description: 'Learn more about Gemini API quotas',
          url: 'https://ai.google.dev/gemini-api/docs/rate-limits',
        },
      ],
    },
    {
      '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
      violations: [
        {
          quotaMetric: 'generativelanguage.googleapis.com/generate_content_free_tier_requests',
          quotaId: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier',
          quotaDimensions: { location: 'global', model: TEXT_MODEL },
          quotaValue: '1500',
        },
      ],
    },
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '34s' },
  ])
  app.emulator.faults.clear()
  app.emulator.faults.add({ kind: '429_limit_zero', retryDelay: '1.5s' })
  const { error } = (await ask('Topic: Rome')).json
  t.equal(error.details[1].violations.length, 3)
  t.notOk('quotaValue' in error.details[1].violations[0], 'Google leaves quotaValue out when it is 0')
  t.equal(error.details[2].retryDelay, '1.5s')
  t.match(error.message, /Please retry in 1\.5s\.$/)
})

t.test('content faults spoil the answer in the way their name says', async (t) => {
  const { app, ask } = build(t, { limits: { rpm: Infinity } })
  const spoiled = async (kind: FaultKind, reason?: string) => {
    app.emulator.reset()
    app.emulator.faults.add({ kind, times: 1, ...(reason && { reason }) })
    return ask('Topic: Rome', SUBTOPICS)
  }
  const textOf = (answer: Awaited<ReturnType<typeof spoiled>>) => answer.json.candidates[0].content.parts.at(-1).text

  const truncated = await spoiled('truncated_json')
  t.equal(truncated.status, 200)
  t.equal(truncated.json, undefined, 'the body ends in the middle')
  t.match(truncated.text, /^\{\n {2}"candidates"/)
  const wrong = await spoiled('wrong_json')
  t.throws(() => JSON.parse(textOf(wrong)))
  t.same(Object.keys(JSON.parse(textOf(await spoiled('wrong_shape')))), ['answer'])
  t.match(JSON.parse(textOf(await spoiled('refusal_text'))).subtopics[3], /^As an AI/)
  const poor = JSON.parse(textOf(await spoiled('poor_quality'))).subtopics
  t.equal(new Set(poor).size, 1)
  const thinking = (await spoiled('thought_parts')).json.candidates[0].content.parts
  t.match(thinking, [{ thought: true }, { text: /^\{"subtopics"/ }])
  t.match((await spoiled('safety_prompt')).json, { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } })
  t.notOk((await spoiled('safety_prompt')).json.candidates)
  t.match((await spoiled('safety_candidate', 'RECITATION')).json.candidates, [{ finishReason: 'RECITATION' }])
  const cut = await spoiled('max_tokens')
  t.equal(cut.json.candidates[0].finishReason, 'MAX_TOKENS')
  t.throws(() => JSON.parse(textOf(cut)))
  t.notOk((await spoiled('empty_candidates')).json.candidates)
  t.notOk((await spoiled('no_usage')).json.usageMetadata)
})

t.test('pictures are blocked in their own words', async (t) => {
  const { app, post } = build(t)
  const draw = { ...contents('A cat'), generationConfig: { responseModalities: ['IMAGE'] } }
  app.emulator.faults.add({ kind: 'safety_candidate' })
  const blocked = (await post(`${IMAGE_MODEL}:generateContent`, draw)).json.candidates[0]
  t.match(blocked, { finishReason: 'IMAGE_SAFETY', finishMessage: /blocked/ })
  t.notOk(blocked.content)
  const filtered = await post(`${IMAGEN_MODEL}:predict`, { instances: [{ prompt: 'A cat' }] })
  t.match(filtered.json.predictions, [{ raiFilteredReason: /filtered out/ }])
  t.notOk(filtered.json.predictions[0].bytesBase64Encoded)
  app.emulator.faults.clear()
  app.emulator.faults.add({ kind: 'wrong_json' })
  t.match((await post(`${IMAGE_MODEL}:generateContent`, draw)).json.candidates[0], { finishReason: 'NO_IMAGE' })
})

t.test('faults are set, listed and cleared over HTTP, and nonsense is refused', async (t) => {
  const { app, ask } = build(t)
  const control = (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) =>
    app.inject({ method, url: `/emulator/${url}`, ...(payload && { payload }) })
  const added = await control('POST', 'faults', { kind: '503', times: 2, match: { prompt: 'Rome' } })
  t.equal(added.statusCode, 201)
  t.equal((await ask('Topic: Oslo')).status, 200)
  t.equal((await ask('Topic: Rome')).status, 503)
  t.match((await control('GET', 'faults')).json(), { faults: [{ kind: '503', times: 2, served: 1 }] })
  t.equal((await control('DELETE', 'faults')).statusCode, 204)
  t.equal((await ask('Topic: Rome')).status, 200)
  for (const nonsense of [{ kind: 'explode' }, { kind: '500', times: 0 }, { kind: '500', share: 2 }, {}]) {
    t.equal((await control('POST', 'faults', nonsense)).statusCode, 400, JSON.stringify(nonsense))
  }
  t.equal((await control('POST', 'faults', { kind: '500', times: 1, share: 0.5 })).statusCode, 400)
  for (const kind of FAULT_KINDS) t.equal((await control('POST', 'faults', { kind })).statusCode, 201, kind)
})

t.test('a fault with a time ends by itself, comes again in waves, and hits its own model only', async (t) => {
  let nowMs = Date.UTC(2026, 0, 10)
  const { app, post } = build(t, { clock: () => nowMs, limits: { rpm: Infinity } })
  const statuses = async () => {
    const models = [TEXT_MODEL, 'gemini-3.5-flash-lite']
    const answers = models.map((model) => post(`${model}:generateContent`, contents('Topic: Rome')))
    return (await Promise.all(answers)).map(({ status }) => status)
  }
  app.emulator.faults.add({ kind: '503', forMs: 10_000, everyMs: 60_000, match: { model: TEXT_MODEL } })
  for (const [afterMs, expected] of [
    [0, 503],
    [9_999, 503],
    [1, 200],
    [49_999, 200],
    [1, 503],
    [10_000, 200],
  ] as const) {
    nowMs += afterMs
    t.same(await statuses(), [expected, 200])
  }
  app.emulator.faults.clear()
  app.emulator.faults.add({ kind: '503', forMs: 10_000 })
  t.same(await statuses(), [503, 503])
  nowMs += 60_000
  t.same(await statuses(), [200, 200])
  t.throws(() => app.emulator.faults.add({ kind: '503', everyMs: 1_000 }), RangeError)
})

t.test('a model without access says limit: 0, and one that was shut down is not found', async (t) => {
  const { post } = build(t, { modelLimits: { [TEXT_MODEL]: { rpm: 0, inputTpm: 0, rpd: 0 } } })
  const refused = await post(`${TEXT_MODEL}:generateContent`, contents('Topic: Rome'))
  t.equal(refused.status, 429)
  t.match(refused.json.error.message, /limit: 0, model: gemini-3.8-flash/)
  const violations = refused.json.error.details.find((one: { violations?: object[] }) => one.violations).violations
  for (const violation of violations) t.notOk('quotaValue' in violation)
  t.equal((await post('gemini-3.5-flash-lite:generateContent', contents('Topic: Rome'))).status, 200)
  t.equal((await post('gemini-2.0-flash:generateContent', contents('Topic: Rome'))).status, 404)
})
