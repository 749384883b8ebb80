import { createClient, KnowAllEdgeError, type StreamEvent } from '@knowalledge/client'
import { runKeys } from '@knowalledge/testing'
import t from 'tap'
import { fleetForTest, post } from './fleet.ts'

const { gateway, emulator, counters } = await fleetForTest(t, {
  env: { QUOTA_RPM: '4', QUOTA_WINDOW_MS: '5000', EMULATOR_RPM: '1000' },
})
const client = createClient({ baseUrl: gateway.url })
const lesson = { topic: 'Light', educationLevel: 'high school', levelOfDetail: 'brief' }

async function eventsOf<E>(stream: AsyncIterable<E>): Promise<E[]> {
  const events: E[] = []
  for await (const event of stream) events.push(event)
  return events
}

t.test('each operation, by its method', async (t) => {
  const call = { wait: 20 }
  const { subtopics } = await client.createSubtopics({ topic: 'Light' }, call)
  t.equal(subtopics.length, 15)
  const { explanations } = await client.createPresentation({ ...lesson, focus: subtopics.slice(0, 2) }, call)
  t.match(explanations, [{ subtopic: subtopics[0] }, { subtopic: subtopics[1] }])
  const drawn = await client.generateImage({ prompt: 'Light' }, call)
  const image = await client.getImage(drawn.url.split('/').at(-1) ?? '')
  t.equal(image.type, drawn.mime_type)
  const { generated_topic } = await client.image2topic({ image }, call)
  t.ok(generated_topic)
  t.match(await client.getSubtopics({ topic: 'Light' }), { cached: true, subtopics })
  t.match(await client.getExplanation({ ...lesson, subtopic: subtopics[0] ?? '' }), { cached: true })
  t.match(await client.getQuotaStats(), { requests: { per_minute: { limit: 4 } } })
  t.match(await client.getHealth(), { status: 'healthy' })
  t.match(await client.getReady(), { service: 'gateway' })
})

t.test('stream() tells the place in line and gives each explanation as it is finished', async (t) => {
  const focus = Array.from({ length: 6 }, (_, n) => `part ${n}`)
  const events = await eventsOf(client.stream('create_presentation', { ...lesson, topic: 'Sound', focus }))
  const items = events.filter((event) => event.event === 'item')
  t.same(items.map(({ data }) => data.index).sort(), [0, 1, 2, 3, 4, 5])
  for (const { data } of items) t.match(data, { subtopic: focus[data.index], explanation: String })
  const waiting = events.filter((event) => event.event === 'waiting')
  t.ok(waiting.length > 0, 'six do not fit into four a minute')
  for (const { data } of waiting) t.match(data, { starts_in_seconds: Number, position: Number })
  t.match(events.at(-1), { event: 'done', data: { success_count: 6, failed_count: 0 } })
  const again = await eventsOf(client.stream('create_subtopics', { topic: 'Light' }))
  t.match(again, [{ event: 'result', data: { cached: true } }, { event: 'done' }])
})

/** Takes what is left of the minute. */
async function spendTheMinute(): Promise<void> {
  for (let n = 0; ; n++) {
    const { status } = await post(`${gateway.url}/api/create_subtopics`, { topic: `Filler ${performance.now()} ${n}` })
    if (status === 429) return
  }
}

t.test('without a wait a refusal is an error with its time, or is repeated after it', async (t) => {
  await spendTheMinute()
  const refused = client.createSubtopics({ topic: 'Heat' }, { maxRetryWaitMs: 0 })
  await t.rejects(refused, { code: 'quota_exceeded', status: 429, limitType: 'rpm', requestId: String })
  const error: KnowAllEdgeError = await refused.catch((error) => error)
  t.ok(error instanceof KnowAllEdgeError)
  t.ok((error.retryAfterMs ?? 0) > 0 && (error.retryAfterMs ?? 0) <= 6_000)
  const retries: unknown[] = []
  const answer = await client.createSubtopics({ topic: 'Heat' }, { onRetry: (retry) => retries.push(retry) })
  t.equal(answer.count, 15)
  t.match(retries[0], { error: { code: 'quota_exceeded' }, waitMs: Number })
})

t.test('with a wait the server keeps a place in line, and nothing is repeated', async (t) => {
  await spendTheMinute()
  const onRetry = () => t.fail('it was refused')
  t.equal((await client.createSubtopics({ topic: 'Water' }, { wait: 20, onRetry })).count, 15)
})

t.test('the signal ends a wait for a repetition, a stream, and the call behind it', async (t) => {
  await spendTheMinute()
  const leaving = new AbortController()
  const reason = new Error('left')
  const waits = client.createSubtopics(
    { topic: 'Stone' },
    { signal: leaving.signal, onRetry: () => queueMicrotask(() => leaving.abort(reason)) },
  )
  await t.rejects(waits, reason)

  const closing = new AbortController()
  const seen: StreamEvent<'create_subtopics'>[] = []
  const stream = (async () => {
    for await (const event of client.stream('create_subtopics', { topic: 'Wood' }, { signal: closing.signal })) {
      seen.push(event)
      closing.abort(reason)
    }
  })()
  await t.rejects(stream, reason)
  t.equal(seen[0]?.event, 'waiting')
  t.equal((await counters()).inFlight, 0)
})

t.test('errors of the server have its code and sentence; without a server there is network_error', async (t) => {
  await t.rejects(client.createSubtopics({ topic: '' }), { code: 'invalid_input', status: 400, message: /topic/ })
  await t.rejects(client.image2topic({ image: new Blob(['no image']) }), {
    code: 'unsupported_media_type',
    status: 415,
  })
  await t.rejects(client.getImage('0'.repeat(64)), { code: 'not_found', status: 404 })
  await post(`${emulator.url}/emulator/faults`, { kind: 'safety_prompt', times: 1 })
  await t.rejects(client.createSubtopics({ topic: 'Blocked' }, { wait: 20 }), { code: 'content_blocked' })
  const nobody = createClient({ baseUrl: 'http://127.0.0.1:1' })
  await t.rejects(nobody.createSubtopics({ topic: 'Light' }), { code: 'network_error', status: undefined })
})

t.test('a key, and without one a 401', async (t) => {
  const secret = 'a-secret-that-gateway-and-services-share'
  const { gateway, redis } = await fleetForTest(t, {
    env: { AUTH: 'required', SESSION_SECRET: secret, GATEWAY_SECRET: secret },
  })
  const key = await runKeys(redis.url, 'create', '--tenant', 'school-a')
  const baseUrl = gateway.url
  await t.rejects(createClient({ baseUrl }).createSubtopics({ topic: 'Light' }), { code: 'unauthorized', status: 401 })
  t.equal((await createClient({ baseUrl, key }).createSubtopics({ topic: 'Light' })).count, 15)
})
