import { serviceForTest } from '@knowalledge/generation/testing'
import { freePort, hostileJson } from '@knowalledge/testing'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

const build = serviceForTest({ buildApp, loadConfig })

const url = '/api/create_subtopics'

t.test('answers with about fifteen different subtopics, scored, and the same again from memory', async (t) => {
  const { post, emulator } = await build(t)
  const first = await post(url, { topic: 'Photosynthesis' })
  t.equal(first.statusCode, 200)
  t.equal(first.headers['x-cache'], 'miss')
  const answer = first.json()
  t.equal(answer.count, answer.subtopics.length)
  t.equal(answer.count, 15)
  t.equal(new Set(answer.subtopics.map((subtopic: string) => subtopic.toLowerCase())).size, 15)
  t.ok(answer.quality_score > 0.7 && answer.quality_score <= 1)
  t.match(answer, { warnings: [], model: 'gemini-3.8-flash', cached: false, from_fallback: false })
  t.equal(first.headers['x-model'], 'gemini-3.8-flash')

  const again = await post(url, { topic: '  photosynthesis ', colour: 'unknown fields are ignored' })
  t.equal(again.headers['x-cache'], 'memory')
  t.same(again.json(), { ...answer, cached: true })
  t.equal(emulator.counters().admitted, 1)
})

t.test('answers in the asked language, each language cached by itself', async (t) => {
  const { post, emulator } = await build(t)
  for (const language of ['en', 'es', 'fr', 'de', 'zh', 'ja', 'ar', 'he']) {
    const reply = await post(url, { topic: 'Photosynthesis', language })
    t.equal(reply.statusCode, 200, language)
    t.match(reply.json(), { cached: false, count: 15 }, language)
  }
  t.match((await post(url, { topic: 'Photosynthesis' }, { 'accept-language': 'fr-CA,fr;q=0.9' })).json(), {
    cached: true,
  })
  t.equal(emulator.counters().admitted, 8)
  const prompts = emulator.calls().map((call) => call.prompt)
  t.match(prompts[1], 'Language: Spanish (es)')
})

t.test('the sixteenth new topic in a minute is a 429; a known one still answers', async (t) => {
  const { post, emulator } = await build(t)
  for (let n = 1; n <= 15; n++) t.equal((await post(url, { topic: `Topic ${n}` })).statusCode, 200)
  const refused = await post(url, { topic: 'One more' })
  t.equal(refused.statusCode, 429)
  const seconds = Number(refused.headers['retry-after'])
  t.ok(seconds >= 55 && seconds <= 61, `a full minute is left: ${seconds}`)
  t.same(refused.json(), {
    error: 'quota_exceeded',
    message: 'RPM limit exceeded (15 per minute)',
    limit_type: 'rpm',
    retry_after: `${seconds} seconds`,
  })
  t.equal(refused.headers['cache-control'], 'no-store')
  t.match((await post(url, { topic: 'Topic 3' })).json(), { cached: true })
  t.same(emulator.counters().refused, { rpm: 0, inputTpm: 0, rpd: 0 }, 'Gemini was never asked too often')
})

t.test('bad input names the field and spends no quota', async (t) => {
  const { post, emulator } = await build(t)
  const table: [payload: object | string, message: RegExp][] = [
    [{}, /topic is missing/],
    [{ topic: '' }, /topic is empty/],
    [{ topic: ' \n ' }, /topic is empty/],
    [{ topic: 'x'.repeat(501) }, /topic must have at most 500 characters/],
    [{ topic: ['x'] }, /topic must be a text/],
    ['{', /not valid JSON/],
  ]
  for (const [payload, message] of table) {
    const reply = await post(url, payload)
    t.equal(reply.statusCode, 400)
    t.match(reply.json(), { error: 'invalid_input', message })
  }
  t.equal(emulator.counters().admitted, 0)
  t.equal((await post(url, { topic: 'x'.repeat(500) })).statusCode, 200, 'the next request works')
})

t.test('each way that Gemini fails has its own error', async (t) => {
  const table: [kind: string, status: number, error: string][] = [
    ['400_invalid_key', 503, 'gemini_not_configured'],
    ['403_leaked_key', 503, 'gemini_not_configured'],
    ['400_free_tier', 503, 'gemini_not_configured'],
    ['404', 502, 'gemini_bad_answer'],
    ['500', 503, 'gemini_unavailable'],
    ['503', 503, 'gemini_unavailable'],
    ['reset', 503, 'gemini_unavailable'],
    ['hang', 504, 'timeout'],
    ['truncated_json', 502, 'gemini_bad_answer'],
    ['wrong_json', 502, 'gemini_bad_answer'],
    ['wrong_shape', 502, 'gemini_bad_answer'],
    ['safety_prompt', 422, 'content_blocked'],
    ['safety_candidate', 422, 'content_blocked'],
    ['empty_candidates', 502, 'gemini_bad_answer'],
    ['429_rpm', 429, 'quota_exceeded'],
    ['429_rpd', 429, 'quota_exceeded'],
    ['429_limit_zero', 503, 'gemini_not_configured'],
  ]
  for (const [kind, status, error] of table) {
    const { post, emulator } = await build(t, { GEMINI_TIMEOUT_MS: '3000' })
    emulator.faults.add({ kind: kind as 'hang' })
    const reply = await post(url, { topic: 'Photosynthesis' })
    t.equal(reply.statusCode, status, kind)
    t.match(reply.json(), { error, message: /^[A-Z]/ }, kind)
    t.notMatch(reply.body, /test-key|127\.0\.0\.1/, kind)
  }
})

t.test('a Gemini that nobody answers for is a 503, and costs no quota', async (t) => {
  const { post, backends } = await build(t, { GEMINI_BASE_URL: `http://127.0.0.1:${await freePort()}` })
  const reply = await post(url, { topic: 'Photosynthesis' })
  t.equal(reply.statusCode, 503)
  t.match(reply.json(), { error: 'gemini_unavailable' })
  t.equal((await backends.pools[0].quota.usage()).requests.perMinute.current, 0)
})

t.test('without an API key the error says so at once', async (t) => {
  const { post, app } = await build(t, { GEMINI_API_KEY: '' })
  const reply = await post(url, { topic: 'Photosynthesis' })
  t.equal(reply.statusCode, 503)
  t.match(reply.json(), { error: 'gemini_not_configured', message: /key is missing or not accepted/ })
  const ready = await app.inject('/ready')
  t.equal(ready.statusCode, 503)
  t.match(ready.json(), { status: 'not_ready', checks: { gemini: { status: 'not_configured' } } })
})

t.test('a poor answer is shown with its warnings but not cached', async (t) => {
  const { post, emulator } = await build(t)
  emulator.faults.add({ kind: 'poor_quality', times: 1 })
  const poor = await post(url, { topic: 'Photosynthesis' })
  t.equal(poor.statusCode, 200)
  t.ok(poor.json().warnings.length > 0)
  t.ok(poor.json().quality_score < 1)
  t.match((await post(url, { topic: 'Photosynthesis' })).json(), { cached: false, count: 15 })
})

t.test('a client that goes away while Gemini thinks leaves the service healthy', async (t) => {
  const { app, emulator, post } = await build(t)
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  emulator.faults.add({ kind: 'hang', times: 1 })
  const leaving = new AbortController()
  const request = fetch(address + url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ topic: 'Photosynthesis' }),
    signal: leaving.signal,
  })
  while (emulator.counters().inFlight === 0) await new Promise(setImmediate)
  leaving.abort()
  await t.rejects(request)
  while (emulator.counters().cancelled === 0) await new Promise(setImmediate)
  t.equal((await post(url, { topic: 'Photosynthesis' })).statusCode, 200)
})

t.test('when a fresh answer cannot be had, the stale copy answers and says so', async (t) => {
  const { app, post, emulator, backends } = await build(t, { CACHE_MEMORY_TTL_SECONDS: '1', GEMINI_TIMEOUT_MS: '1000' })
  const fresh = (await post(url, { topic: 'Light' })).json()
  await new Promise((resolve) => setTimeout(resolve, 1_050)) // the shortest freshness that can be set
  for (const kind of ['503', 'hang', 'truncated_json', '429_rpm'] as const) {
    emulator.faults.add({ kind })
    const reply = await post(url, { topic: 'Light' })
    t.equal(reply.headers['x-cache'], 'fallback', kind)
    t.same(reply.json(), { ...fresh, cached: true, from_fallback: true }, kind)
    emulator.faults.clear()
  }
  t.ok((await backends.pools[0].quota.usage()).pause, 'since the 429 Gemini is paused')
  t.match((await post(url, { topic: 'Light' })).json(), { from_fallback: true })
  const got = await app.inject('/api/subtopics?topic=Light')
  t.match(got.json(), { from_fallback: true })
  t.equal(got.headers['cache-control'], 'no-store', 'a stale copy is not kept any further')
  t.equal((await post(url, { topic: 'Never asked' })).statusCode, 429, 'where there is no copy, the true error')
})

t.test('JSON made to harm is a 400 and spends no quota; where a field is ignored, so is its depth', async (t) => {
  const { post, emulator } = await build(t)
  for (const [name, body] of hostileJson('topic')) {
    const reply = await post('/api/create_subtopics', body)
    t.equal(reply.statusCode, 400, name)
    t.match(reply.json(), { error: 'invalid_input' }, name)
  }
  t.equal(({} as { polluted?: boolean }).polluted, undefined)
  t.equal(emulator.counters().admitted, 0)
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  t.equal((await post('/api/create_subtopics', `{"topic":"Light","ignored":${deep}}`)).statusCode, 200)
})

t.test('a text that no encoding can carry is a 400 and costs nothing', async (t) => {
  const { app, post, emulator } = await build(t)
  for (const topic of ['\ud800', 'half \udc00 a character']) {
    const reply = await post(url, { topic })
    t.equal(reply.statusCode, 400)
    t.match(reply.json(), { error: 'invalid_input', message: /^topic holds a lone surrogate/ })
  }
  const latin1 = await app.inject({
    method: 'POST',
    url,
    headers: { 'content-type': 'application/json' },
    payload: Buffer.from('{"topic":"caf\xe9"}', 'latin1'),
  })
  t.equal(latin1.statusCode, 400)
  t.match(latin1.json(), { error: 'invalid_input', message: /UTF-8/ })
  t.equal((await app.inject('/api/subtopics?topic=%ff')).statusCode, 400)
  t.equal((await post(url, { topic: '\ufeff😀 𝛑' })).statusCode, 200)
  t.equal(emulator.counters().admitted, 1)
})

t.test('X-Tenant is charged for the call; a malformed one is a 400', async (t) => {
  const { backends, post } = await build(t)
  const refused = await post('/api/create_subtopics', { topic: 'Light' }, { 'x-tenant': 'school-a;rpm=0' })
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), { error: 'quota_exceeded', tenant: 'school-a' })
  t.equal((await backends.pools[0].quota.usage()).requests.perMinute.current, 0)
  const bad = await post('/api/create_subtopics', { topic: 'Light' }, { 'x-tenant': 'school-a;rpm=many' })
  t.equal(bad.statusCode, 400)
  t.match(bad.json(), { error: 'invalid_input', message: /X-Tenant/ })
})
