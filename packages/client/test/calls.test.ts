import t from 'tap'
import { createClient, type KnowAllEdgeError } from '../src/index.ts'
import { clientForTest, sendJson, subtopics } from './server-for-test.ts'

const refused = { error: 'quota_exceeded', message: 'RPM limit exceeded (15 per minute)', limit_type: 'rpm' }

t.test('sends key, wait and language, below any path', async (t) => {
  const { client, requests, baseUrl } = await clientForTest(t, (_request, reply) => sendJson(reply, 200, subtopics), {
    key: 'kae_1',
  })
  t.strictSame(await client.createSubtopics({ topic: 'Light' }, { wait: 20 }), subtopics)
  t.match(requests[0], { method: 'POST', url: '/api/create_subtopics' })
  t.match(requests[0]?.headers, { authorization: 'Bearer kae_1', prefer: 'wait=20' })
  await createClient({ baseUrl: `${baseUrl}/learn` }).getSubtopics({ topic: 'A & B', language: 'ar' })
  t.equal(requests[1]?.url, '/learn/api/subtopics?topic=A+%26+B&language=ar')
})

t.test('a refusal is repeated after its wait, and no earlier', async (t) => {
  const times: number[] = []
  const { client } = await clientForTest(t, (_request, reply, count) => {
    times.push(performance.now())
    if (count > 1) return sendJson(reply, 200, subtopics)
    sendJson(reply, 429, { ...refused, retry_after: '1 seconds' }, { 'retry-after': '1', 'x-request-id': 'r1' })
  })
  const retries: { error: KnowAllEdgeError; waitMs: number }[] = []
  await client.createSubtopics({ topic: 'Light' }, { onRetry: (retry) => retries.push(retry) })
  t.ok((times[1] ?? 0) - (times[0] ?? 0) >= 1_000, 'not before the second is over')
  t.equal(retries.length, 1)
  t.ok(retries[0] && retries[0].waitMs >= 1_000 && retries[0].waitMs < 1_500, 'what it waits is told before')
  const told = { code: 'quota_exceeded', status: 429, limitType: 'rpm', retryAfterMs: 1_000, requestId: 'r1' }
  t.match(retries[0]?.error, told)
})

t.test('a wait that is too long rejects at once, with the wait', async (t) => {
  const { client, requests } = await clientForTest(t, (_request, reply) =>
    sendJson(reply, 429, { ...refused, retry_after: '39408 seconds' }),
  )
  await t.rejects(client.createSubtopics({ topic: 'Light' }), { code: 'quota_exceeded', retryAfterMs: 39_408_000 })
  await t.rejects(client.createSubtopics({ topic: 'Light' }, { maxRetryWaitMs: 0 }), { code: 'quota_exceeded' })
  t.equal(requests.length, 2)
})

t.test('what failed and names no wait is not repeated', async (t) => {
  const { client, requests } = await clientForTest(t, (_request, reply) => {
    sendJson(reply, 502, { error: 'gemini_bad_answer', message: 'Try again.' })
  })
  await t.rejects(client.createSubtopics({ topic: 'Light' }), { code: 'gemini_bad_answer', retryAfterMs: undefined })
  t.equal(requests.length, 1)
})

t.test('after a broken connection GET is sent again, POST is not', async (t) => {
  const { client, requests } = await clientForTest(t, ({ method, socket }, reply, count) => {
    if (count < 3 || method === 'POST') socket.destroy()
    else sendJson(reply, 200, subtopics)
  })
  t.strictSame(await client.getSubtopics({ topic: 'Light' }), subtopics)
  t.equal(requests.length, 3)
  await t.rejects(client.createSubtopics({ topic: 'Light' }), { code: 'network_error', status: undefined })
  t.equal(requests.length, 4)
})

t.test('an abort ends the wait for a repetition', async (t) => {
  const abort = new AbortController()
  const { client } = await clientForTest(t, (_request, reply) =>
    sendJson(reply, 429, { ...refused, retry_after: '60 seconds' }),
  )
  const call = client.createSubtopics(
    { topic: 'Light' },
    { signal: abort.signal, onRetry: () => setImmediate(() => abort.abort()) },
  )
  await t.rejects(call, { name: 'AbortError' })
})

t.test('an answer that breaks off or is no JSON of this API is an error with a code', async (t) => {
  const { client } = await clientForTest(t, ({ url }, reply) => {
    if (url === '/api/quota/stats') reply.writeHead(404, { 'content-type': 'text/html' }).end('<h1>Not found</h1>')
    else reply.writeHead(200, { 'content-type': 'application/json' }).end('{"subtopics":["Li')
  })
  await t.rejects(client.createSubtopics({ topic: 'Light' }), { code: 'connection_lost' })
  await t.rejects(client.getQuotaStats(), { code: 'bad_answer', status: 404, message: /baseUrl/ })
})

t.test('a session gets its CSRF token when it needs one, and a new one when that is rejected', async (t) => {
  const tokens: unknown[] = []
  const { client } = await clientForTest(t, ({ url, headers }, reply) => {
    if (url === '/api/csrf-token') return sendJson(reply, 200, { csrf_token: `t${tokens.length}` })
    tokens.push(headers['x-csrf-token'])
    const isGood = ['t1', 't3'].includes(String(headers['x-csrf-token'])) && tokens.length !== 3
    if (isGood) sendJson(reply, 200, subtopics)
    else sendJson(reply, 403, { error: 'csrf_rejected', message: 'Fetch a new one.' })
  })
  await client.createSubtopics({ topic: 'Light' })
  await client.createSubtopics({ topic: 'Light' })
  t.strictSame(tokens, [undefined, 't1', 't1', 't3'])
})
