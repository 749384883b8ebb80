import { serviceForTest } from '@knowalledge/generation/testing'
import { hostileJson } from '@knowalledge/testing'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

const build = serviceForTest({ buildApp, loadConfig })

const styles = [{}, null, 7, true, ['visual'], '', 'General', 'general']
const url = '/api/create_presentation'
const question = { topic: 'Photosynthesis', educationLevel: 'high school', levelOfDetail: 'normal' }
const focus = ['Chlorophyll', 'The Calvin cycle', 'Light reactions']

t.test("the web app's own bodies pass, and a style that is none is the same question as no style", async (t) => {
  const { post, emulator } = await build(t)
  const [first, ...others] = [
    {},
    ...styles.map((learningStyle) => ({ learningStyle })),
    { language: null },
    { language: {} },
  ]
  t.equal((await post(url, { ...question, focus, ...first })).json().success_count, focus.length)
  for (const body of others) {
    const answer = await post(url, { ...question, focus, ...body })
    t.equal(answer.statusCode, 200, JSON.stringify(body))
    t.equal(answer.headers['x-cache'], 'memory', JSON.stringify(body))
  }
  t.equal((await post('/api/create_subtopics', { topic: 'Photosynthesis', language: null })).statusCode, 200)
  t.equal(emulator.counters().admitted, focus.length + 1)
})

t.test('explains each subtopic, in the order of focus', async (t) => {
  const { post, emulator } = await build(t)
  const reply = await post(url, { ...question, focus, learningStyle: 'visual' })
  t.equal(reply.statusCode, 200)
  const answer = reply.json()
  t.same(
    answer.explanations.map((explanation: { subtopic: string }) => explanation.subtopic),
    focus,
  )
  t.match(answer, { success_count: 3, failed_count: 0 })
  for (const explanation of answer.explanations) {
    t.ok(explanation.explanation.split(' ').length >= 20)
    t.ok(explanation.real_world_application.length > 0)
    t.ok(explanation.youtube_search_query.length > 0)
    t.ok(explanation.quality_score > 0.5 && explanation.quality_score <= 1)
    t.match(explanation, { cached: false, from_fallback: false, error: null })
  }
  t.equal(emulator.counters().admitted, 3)
  t.match(emulator.calls()[0]?.prompt, /Education level: high school\n.*Learning style: visual/s)

  const more = (await post(url, { ...question, learningStyle: 'visual', focus: ['Stomata', 'Chlorophyll'] })).json()
  t.match(more.explanations, [
    { subtopic: 'Stomata', cached: false },
    { subtopic: 'Chlorophyll', cached: true },
  ])
  t.equal(emulator.counters().admitted, 4)
})

t.test('the level of detail steers the length', async (t) => {
  const { post } = await build(t)
  const wordsOf = async (levelOfDetail: string) => {
    const answer = (await post(url, { ...question, levelOfDetail, focus: ['Chlorophyll'] })).json()
    return answer.explanations[0].explanation.split(/\s+/).length
  }
  const [low, normal, high] = [await wordsOf('lowDetail'), await wordsOf('mediumDetail'), await wordsOf('highDetail')]
  t.ok(low < normal && normal < high, `${low} < ${normal} < ${high}`)
})

t.test('a failed explanation is asked once more, then reported in its error', async (t) => {
  const { post, emulator } = await build(t)
  emulator.faults.add({ kind: 'refusal_text', times: 1, match: { prompt: 'Subtopic: Chlorophyll' } })
  emulator.faults.add({ kind: 'wrong_json', match: { prompt: 'Subtopic: Light reactions' } })
  const answer = (await post(url, { ...question, focus })).json()
  t.match(answer, { success_count: 2, failed_count: 1 })
  t.match(answer.explanations[0], { error: null, explanation: /\w/ })
  t.match(answer.explanations[2], {
    subtopic: 'Light reactions',
    explanation: null,
    real_world_application: null,
    youtube_search_query: null,
    quality_score: null,
    error: 'Gemini gave an answer that cannot be used. Try again.',
  })
  t.equal(emulator.counters().admitted, 5)
})

t.test('what could never fit is a 400 that says how many would; what does not fit now is a 429', async (t) => {
  const { post, emulator } = await build(t)
  const many = Array.from({ length: 13 }, (_, n) => `Subtopic ${n}`)
  const tooLarge = await post(url, { ...question, focus: many })
  t.equal(tooLarge.statusCode, 400)
  t.match(tooLarge.json(), { error: 'presentation_too_large', message: /13 new explanations .* at most 12/ })
  t.equal(emulator.counters().admitted, 0)
  t.equal((await post(url, { ...question, focus: many.slice(0, 12) })).statusCode, 200)
  const other = await post(url, { ...question, topic: 'Respiration', focus: many.slice(0, 3) })
  t.equal(other.statusCode, 429)
  t.match(other.json(), { error: 'quota_exceeded', message: 'RPM limit exceeded (12 per minute)' })
  const mixed = (await post(url, { ...question, focus: many })).json()
  t.match(mixed, { success_count: 12, failed_count: 1 }, 'what is cached is answered all the same')
  t.match(mixed.explanations[12], { explanation: null, error: 'RPM limit exceeded (12 per minute)' })
})

t.test(
  'a presentation whose explanations all fail because Redis cannot be used is a 503 that says when to return',
  async (t) => {
    const { post, emulator } = await build(t, {
      REDIS_ENABLED: 'true',
      REDIS_URL: 'redis://127.0.0.1:1', // nothing listens there
      GEMINI_TIMEOUT_MS: '1000',
    })
    const reply = await post(url, { ...question, focus: ['Light reactions', 'The Calvin cycle'] })
    t.equal(reply.statusCode, 503)
    t.match(reply.json(), { error: 'quota_unavailable', retry_after: /^\d+ seconds$/ })
    t.match(reply.headers['retry-after'], /^\d+$/)
    t.equal(emulator.counters().admitted, 0)
  },
)

t.test('bad input names the field and the bound, and spends no quota', async (t) => {
  const { post, emulator } = await build(t)
  const valid = { ...question, focus }
  const table: [changes: object, message: RegExp][] = [
    [{ focus: [] }, /focus must have at least 1 entry/],
    [{ focus: Array.from({ length: 21 }, (_, n) => `s${n}`) }, /focus must have at most 20 entries/],
    [{ focus: undefined }, /focus is missing/],
    [{ focus: 'Chlorophyll' }, /focus must be a list/],
    [{ focus: ['a', ''] }, /focus\[1\] is empty/],
    [{ focus: ['a'.repeat(501)] }, /focus\[0\] must have at most 500 characters/],
    [{ focus: [7] }, /focus\[0\] must be a text/],
    [{ educationLevel: undefined }, /educationLevel is missing/],
    [{ levelOfDetail: '' }, /levelOfDetail is empty/],
    [{ educationLevel: 'x'.repeat(101) }, /educationLevel must have at most 100 characters/],
    [{ topic: ' ' }, /topic is empty/],
  ]
  for (const [changes, message] of table) {
    const reply = await post(url, { ...valid, ...changes })
    t.equal(reply.statusCode, 400)
    t.match(reply.json(), { error: 'invalid_input', message })
  }
  t.equal(emulator.counters().admitted, 0)
  t.equal((await post(url, valid)).statusCode, 200)
})

t.test('when nothing at all can be answered, the request fails with the true reason', async (t) => {
  const { post, emulator } = await build(t)
  emulator.faults.add({ kind: '503' })
  const reply = await post(url, { ...question, focus })
  t.equal(reply.statusCode, 503)
  t.match(reply.json(), { error: 'gemini_unavailable' })
})

t.test('each explanation falls back on its own', async (t) => {
  const { post, emulator } = await build(t, { CACHE_MEMORY_TTL_SECONDS: '1' })
  await post(url, { ...question, focus: ['Chlorophyll'] })
  await new Promise((resolve) => setTimeout(resolve, 1_050)) // the shortest freshness that can be set
  emulator.faults.add({ kind: '503' })
  const answer = (await post(url, { ...question, focus: ['Chlorophyll', 'Stomata'] })).json()
  t.match(answer, { success_count: 1, failed_count: 1 })
  t.match(answer.explanations[0], { cached: true, from_fallback: true, error: null, explanation: /\w/ })
  t.match(answer.explanations[1], { explanation: null, error: /Gemini cannot be reached/ })
})

t.test('fields that nobody knows are ignored, also by the cache: they cannot be used to spend quota', async (t) => {
  const { app, post, emulator } = await build(t)
  for (const more of [{}, { theme: 'dark' }, { theme: 'light' }])
    t.equal((await post(url, { ...question, focus: ['Chlorophyll'], ...more })).statusCode, 200)
  const query = new URLSearchParams({ ...question, subtopic: 'Chlorophyll', theme: 'none' })
  t.equal((await app.inject(`/api/explanation?${query}`)).statusCode, 200)
  t.equal(emulator.counters().admitted, 1)
})

t.test('JSON made to harm is a 400 and spends no quota; where a field is ignored, so is its depth', async (t) => {
  const { post, emulator } = await build(t)
  for (const [name, body] of hostileJson('topic')) {
    const reply = await post(url, body)
    t.equal(reply.statusCode, 400, name)
    t.match(reply.json(), { error: 'invalid_input' }, name)
  }
  t.equal(({} as { polluted?: boolean }).polluted, undefined)
  t.equal(emulator.counters().admitted, 0)
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  t.equal(
    (
      await post(
        url,
        `{"topic":"Light","educationLevel":"school","levelOfDetail":"normal","focus":["Waves"],"ignored":${deep}}`,
      )
    ).statusCode,
    200,
  )
})
