import { serviceForTest } from '@knowalledge/generation/testing'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

const build = serviceForTest({ buildApp, loadConfig })
const [best, next] = ['gemini-3.8-flash', 'gemini-3.5-flash-lite'] as const
const chain = { GEMINI_TEXT_MODEL: `${best},${next}` }
const presentation = { topic: 'Light', educationLevel: 'adult', levelOfDetail: 'short', focus: ['Waves', 'Colours'] }

t.test('an answer names the model that wrote it, in its body and its header, by POST and GET', async (t) => {
  const { app, post, emulator } = await build(t, chain)
  emulator.faults.add({ kind: '503', times: 3, match: { model: best } })
  const written = await post('/api/create_subtopics', { topic: 'Light' })
  t.match(written, { statusCode: 200, headers: { 'x-model': next, 'x-cache': 'miss' } })
  t.match(written.json(), { model: next, cached: false })
  const cached = await app.inject('/api/subtopics?topic=Light')
  t.match(cached, { statusCode: 200, headers: { 'x-model': next, 'x-cache': 'memory' } })
  t.match(cached.json(), { model: next, cached: true })
  const unchanged = await app.inject({
    url: '/api/subtopics?topic=Light',
    headers: { 'if-none-match': String(cached.headers.etag) },
  })
  t.match(unchanged, { statusCode: 304, headers: { 'x-model': next } })
})

t.test('a presentation names the model of each explanation, and all of them in the header', async (t) => {
  const { post, emulator } = await build(t, chain)
  emulator.faults.add({ kind: '503', times: 3, match: { model: best, prompt: 'Subtopic: Colours' } })
  const written = await post('/api/create_presentation', presentation)
  t.equal(written.headers['x-model'], `${best}, ${next}`)
  t.match(written.json(), { explanations: [{ model: best }, { model: next }], success_count: 2 })
})

t.test('in a stream a model that fails midway is followed by the next, and each explanation comes once', async (t) => {
  const { post, emulator } = await build(t, chain)
  emulator.faults.add({ kind: '503', match: { model: best, prompt: 'Subtopic: Colours' } })
  const stream = await post('/api/create_presentation', presentation, { accept: 'text/event-stream' })
  const items = [...stream.body.matchAll(/^event: item\ndata: (.+)$/gm)].map(([, data]) => JSON.parse(data ?? ''))
  t.same(
    items.map(({ index, model, error }) => ({ index, model, error })).toSorted((a, b) => a.index - b.index),
    [
      { index: 0, model: best, error: null },
      { index: 1, model: next, error: null },
    ],
  )
  t.match(stream.body, 'event: done\ndata: {"success_count":2,"failed_count":0}')
})

t.test('a model that was shut down is followed by the next one', async (t) => {
  const { post } = await build(t, { GEMINI_TEXT_MODEL: 'gemini-2.0-flash,gemini-3.5-flash-lite' })
  t.match((await post('/api/create_subtopics', { topic: 'Light' })).json(), { model: next })
})

const byModel = { ...chain, QUOTA_SCOPE: 'model', QUOTA_MODEL_LIMITS: `${best}=2/2/1M/1M`, CLIENT_SHARE_PER_DAY: '1' }

t.test('with a pool for each model the next one answers when the day of the best one is spent', async (t) => {
  const { post, backends } = await build(t, byModel)
  const models = []
  for (const topic of ['Light', 'Sound', 'Heat', 'Time'])
    models.push((await post('/api/create_subtopics', { topic })).headers['x-model'])
  t.same(models, [best, best, next, next])
  const spent = await Promise.all(
    backends.pools.map(async ({ quota }) => (await quota.usage()).requests.perDay.current),
  )
  t.same(spent, [2, 2, 0], 'and the pool of images is another one')
})

t.test('a 429 of Gemini pauses its own model only', async (t) => {
  const { post, emulator, backends } = await build(t, { ...chain, QUOTA_SCOPE: 'model' })
  emulator.faults.add({ kind: '429_rpd', times: 1, match: { model: best } })
  t.equal((await post('/api/create_subtopics', { topic: 'Light' })).headers['x-model'], next)
  t.equal((await post('/api/create_subtopics', { topic: 'Sound' })).headers['x-model'], next)
  const pauses = await Promise.all(backends.pools.map(async ({ quota }) => (await quota.usage()).pause?.limitType))
  t.same(pauses, ['rpd', undefined, undefined])
  t.equal(emulator.counters().byTask.text.refused + emulator.counters().byTask.text.admitted, 2)
})

t.test('each operation has its own thinking budget', async (t) => {
  const { post, emulator } = await build(t, { THINKING_BUDGET_SUBTOPICS: '0', THINKING_BUDGET_EXPLANATION: '16' })
  await post('/api/create_subtopics', { topic: 'Light' })
  await post('/api/create_presentation', { ...presentation, focus: ['Waves'] })
  t.match(emulator.calls(), [
    { thinkingBudget: 0, maxOutputTokens: 4_096 },
    { thinkingBudget: 16, maxOutputTokens: 4_112 },
  ])
  t.equal(emulator.counters().tokens.thoughts, 16)
  const free = await build(t)
  await free.post('/api/create_subtopics', { topic: 'Light' })
  t.notOk('thinkingBudget' in (free.emulator.calls()[0] ?? {}))
  t.ok(free.emulator.counters().tokens.thoughts > 16)
})
