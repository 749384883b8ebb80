import { serviceForTest } from '@knowalledge/generation/testing'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

const build = serviceForTest({ buildApp, loadConfig })

const focus = Array.from({ length: 14 }, (_, at) => `Subtopic ${at}`)
const presentation = { topic: 'Photosynthesis', educationLevel: 'high school', levelOfDetail: 'normal', focus }
const events = { accept: 'text/event-stream' }
/** Two starts in any second: the shortest window that a service takes. */
const narrow = { QUOTA_RPM: '2', QUOTA_WINDOW_MS: '1000' }

interface Event {
  event: string
  data: Record<string, unknown>
}

function eventsIn(text: string): Event[] {
  return text
    .split('\n\n')
    .filter((block) => block.startsWith('event: '))
    .map((block) => {
      const [event = '', data = ''] = block.split('\n')
      return { event: event.slice('event: '.length), data: JSON.parse(data.slice('data: '.length)) }
    })
}

const kinds = (list: Event[]) => [...new Set(list.map(({ event }) => event))]

t.test('a request that prefers to wait is answered when its turn comes', async (t) => {
  const { post, app } = await build(t, narrow)
  const topics = ['one', 'two', 'three', 'four', 'five']
  const answers = await Promise.all(
    topics.map((topic) => post('/api/create_subtopics', { topic }, { prefer: 'respond-async, wait=20' })),
  )
  for (const answer of answers) {
    t.equal(answer.statusCode, 200, answer.body)
    t.equal(answer.headers['preference-applied'], 'wait=20')
  }
  const metrics = (await app.inject('/metrics')).body
  t.match(metrics, /^quota_wait_seconds_count\{priority="interactive"\} 3$/m, 'two started at once')
  t.match(metrics, /^quota_queue_length\{priority="interactive"\} 0$/m)
})

t.test('it is refused at once when no start comes within its time, at most MAX_WAIT_SECONDS', async (t) => {
  const { post, emulator } = await build(t, { QUOTA_RPM: '1', MAX_WAIT_SECONDS: '5' })
  t.equal((await post('/api/create_subtopics', { topic: 'one' })).statusCode, 200)
  for (const [prefer, applied] of [
    ['', undefined],
    ['wait=3', 'wait=3'],
    ['wait=300', 'wait=5'],
  ] as const) {
    const refused = await post('/api/create_subtopics', { topic: 'two' }, { prefer })
    t.equal(refused.statusCode, 429)
    t.match(refused.json(), { error: 'quota_exceeded', limit_type: 'rpm' })
    t.ok(Number(refused.headers['retry-after']) > 50)
    t.equal(refused.headers['preference-applied'], applied)
  }
  t.equal(emulator.counters().admitted, 1)
})

t.test('a wish that makes no sense is ignored', async (t) => {
  const { post } = await build(t)
  for (const prefer of ['wait', 'wait=', 'wait=-1', 'wait=1.5', 'wait=abc', 'nowait=20', 'wait=0', 'wait=1234567']) {
    const answer = await post('/api/create_subtopics', { topic: 'one' }, { prefer })
    t.equal(answer.statusCode, 200)
    t.equal(answer.headers['preference-applied'], undefined, prefer)
  }
})

t.test('subtopics as events', async (t) => {
  const { post } = await build(t, narrow)
  const answers = await Promise.all(
    ['one', 'two', 'three', 'four', 'five'].map((topic) => post('/api/create_subtopics', { topic }, events)),
  )
  for (const answer of answers) {
    t.equal(answer.statusCode, 200)
    t.equal(answer.headers['content-type'], 'text/event-stream; charset=utf-8')
    t.equal(answer.headers['x-accel-buffering'], 'no')
    const list = eventsIn(answer.body)
    t.match(list.at(-2), { event: 'result', data: { count: 15, cached: false } })
    t.same(list.at(-1), { event: 'done', data: { success_count: 1, failed_count: 0 } })
  }
  const waited = answers.map(({ body }) => eventsIn(body)).filter((list) => kinds(list).includes('waiting'))
  t.equal(waited.length, 3, 'two started at once')
  for (const [first] of waited)
    t.match(first, { event: 'waiting', data: { starts_in_seconds: Number, position: Number } })
})

t.test('a presentation that is too large for one minute comes item by item', async (t) => {
  const { post } = await build(t, { ...narrow, QUOTA_RPM: '4' })
  t.match((await post('/api/create_presentation', presentation)).json(), { error: 'presentation_too_large' })
  const list = eventsIn((await post('/api/create_presentation', presentation, events)).body)
  t.same(kinds(list).toSorted(), ['done', 'item', 'waiting'])
  const items = list.filter(({ event }) => event === 'item')
  t.same(
    items.map(({ data }) => data.index).toSorted((a, b) => Number(a) - Number(b)),
    focus.map((_, at) => at),
  )
  for (const { data } of items) t.match(data, { subtopic: focus[Number(data.index)], error: null, cached: false })
  t.same(list.at(-1), { event: 'done', data: { success_count: 14, failed_count: 0 } })
  const again = eventsIn((await post('/api/create_presentation', presentation, events)).body)
  t.ok(
    again.every(({ event, data }) => event === 'done' || data.cached === true),
    'asked again it is found',
  )
})

t.test('what fails before the first event is a status', async (t) => {
  const { post, emulator } = await build(t, { QUOTA_RPM: '2', MAX_STREAM_WAIT_SECONDS: '1' })
  t.equal((await post('/api/create_subtopics', { topic: '' }, events)).statusCode, 400)
  emulator.faults.add({ kind: 'wrong_json', times: 1 })
  const failed = await post('/api/create_subtopics', { topic: 'one' }, events)
  t.match(failed.json(), { error: String, message: String })
  t.not(failed.statusCode, 200)
  t.equal((await post('/api/create_subtopics', { topic: 'two' })).statusCode, 200)
  const refused = await post('/api/create_presentation', presentation, events)
  t.equal(refused.statusCode, 429)
})

t.test('what fails later is an item with its error', async (t) => {
  const { post, emulator } = await build(t, { ...narrow, QUOTA_RPM: '4' })
  emulator.faults.add({ kind: 'wrong_json', match: { prompt: 'Subtopic: Subtopic 13' } })
  const list = eventsIn((await post('/api/create_presentation', presentation, events)).body)
  t.same(list.at(-1), { event: 'done', data: { success_count: 13, failed_count: 1 } })
})

t.test('a client that leaves gives up its places in line', async (t) => {
  const { app, backends } = await build(t, { QUOTA_RPM: '2' })
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  const leaving = new AbortController()
  const answer = await fetch(`${origin}/api/create_presentation`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...events },
    body: JSON.stringify(presentation),
    signal: leaving.signal,
  })
  const reader = answer.body?.getReader()
  for (let text = ''; !text.includes('event: waiting'); )
    text += new TextDecoder().decode((await reader?.read())?.value)
  t.equal((await backends.pools[0].quota.usage()).queue.batch.length, 3, 'a request has three places at a time')
  t.match((await app.inject('/metrics')).body, /^quota_waiting_clients 1$/m)
  leaving.abort()
  await reader?.read().catch(() => {})
  for (;;) {
    const { queue } = await backends.pools[0].quota.usage()
    if (queue.batch.length === 0) break
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.pass('the line is empty')
})
