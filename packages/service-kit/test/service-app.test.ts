import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { createMetrics } from '@knowalledge/metrics'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { createServiceApp, HttpError, type ReadyCheck, trimTexts } from '../src/index.ts'

const Body = Type.Object({
  topic: Type.String({ minLength: 1, maxLength: 10 }),
  focus: Type.Optional(Type.Array(Type.String({ minLength: 1 }), { minItems: 1, maxItems: 2 })),
})

const window = { current: 0, limit: 1, remaining: 1 }
const usage = {
  requests: { perMinute: window, perDay: window },
  tokens: { perMinute: window, perDay: window },
  hold: null,
  pause: null,
  heldMs: {},
  degraded: false,
  queue: { interactive: { length: 0 }, batch: { length: 0 } },
}

async function build(t: Test, { checks = {}, failure }: { checks?: Record<string, ReadyCheck>; failure?: Error } = {}) {
  const logged: string[] = []
  const app = await createServiceApp({
    service: 'test',
    description: 'A test.',
    logger: pino({ level: 'debug' }, { write: (line: string) => logged.push(line) }),
    metrics: createMetrics(),
    checks,
    quotaPools: [{ name: 'gemini', usage: async () => usage }],
  })
  app.post('/echo', { preValidation: trimTexts, schema: { body: Body } }, async (request) => request.body)
  app.get('/fail', async () => {
    throw failure
  })
  t.teardown(() => app.close())
  return { app, logged }
}

const json = { 'content-type': 'application/json' }

t.test('bad input is a 400 that names the field and the bound', async (t) => {
  const { app } = await build(t)
  const table: [payload: string, message: string][] = [
    ['{"topic":""}', 'topic is empty: it needs at least 1 character.'],
    ['{"topic":"   "}', 'topic is empty: it needs at least 1 character.'],
    ['{"topic":"\\u202e \\u0000\\u200b"}', 'topic is empty: it needs at least 1 character.'],
    ['{"topic":"01234567890"}', 'topic must have at most 10 characters.'],
    ['{}', 'topic is missing.'],
    ['{"topic":5}', 'topic must be a text.'],
    ['{"topic":null}', 'topic must be a text.'],
    ['{"topic":"a","focus":"b"}', 'focus must be a list.'],
    ['{"topic":"a","focus":[]}', 'focus must have at least 1 entry.'],
    ['{"topic":"a","focus":["b","c","d"]}', 'focus must have at most 2 entries.'],
    ['{"topic":"a","focus":["b"," "]}', 'focus[1] is empty: it needs at least 1 character.'],
    ['{"focus":[]}', 'topic is missing.'],
    ['[]', 'The body must be a JSON object.'],
    ['"text"', 'The body must be a JSON object.'],
    ['null', 'The body must be a JSON object.'],
    ['{"topic":', 'The body is not valid JSON.'],
    ['', 'The body is empty: send a JSON object.'],
  ]
  for (const [payload, message] of table) {
    const reply = await app.inject({ method: 'POST', url: '/echo', headers: json, payload })
    t.equal(reply.statusCode, 400, payload)
    t.same(reply.json(), { error: 'invalid_input', message }, payload)
  }
})

t.test('lengths are counted in characters after trimming, in any script, and unknown fields are ignored', async (t) => {
  const { app } = await build(t)
  for (const topic of ['  0123456789  ', '😀😀😀😀😀😀😀😀😀😀', 'פוטוסינתזה', '光合作用']) {
    const reply = await app.inject({
      method: 'POST',
      url: '/echo',
      headers: json,
      payload: { topic, other: { deep: [1] } },
    })
    t.equal(reply.statusCode, 200, topic)
    t.equal(reply.json().topic, topic.trim())
  }
})

t.test('a wrong content type is a 415, a body over the limit a 413', async (t) => {
  const { app } = await build(t)
  for (const type of ['text/plain', 'application/xml', 'application/x-www-form-urlencoded']) {
    const reply = await app.inject({
      method: 'POST',
      url: '/echo',
      headers: { 'content-type': type },
      payload: 'topic=a',
    })
    t.equal(reply.statusCode, 415, type)
    t.equal(reply.json().error, 'unsupported_media_type')
  }
  const large = await app.inject({
    method: 'POST',
    url: '/echo',
    headers: json,
    payload: { topic: 'a'.repeat(270_000) },
  })
  t.equal(large.statusCode, 413)
  t.match(large.json(), { error: 'payload_too_large', message: /256 KiB/ })
})

t.test('an unknown path is a 404, a wrong method a 405 that says which would do', async (t) => {
  const { app } = await build(t)
  const missing = await app.inject('/nowhere?secret=1')
  t.equal(missing.statusCode, 404)
  t.match(missing.json(), { error: 'not_found', message: 'There is no GET /nowhere here' })
  const wrong = await app.inject({ method: 'GET', url: '/echo' })
  t.equal(wrong.statusCode, 405)
  t.equal(wrong.headers.allow, 'POST')
  t.match(wrong.json(), { error: 'method_not_allowed', message: 'GET is not possible on /echo: use POST.' })
})

t.test('what is not even HTTP, or not a URL, gets the same shape', async (t) => {
  const { app } = await build(t)
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  for (const [bytes, status] of [
    ['NONSENSE\r\n\r\n', 400],
    ['GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n', 400],
    [`GET / HTTP/1.1\r\nhost: x\r\nx-long: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
  ] as const) {
    const socket = connect(port, '127.0.0.1').end(bytes)
    const answer = await text(socket)
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} `))
    t.match(JSON.parse(answer.split('\r\n\r\n')[1] ?? ''), { error: /^[a-z_]+$/, message: /^[A-Z].*\.$/ })
  }
})

t.test('a 5xx shows nothing internal, and its cause is logged once', async (t) => {
  const { app, logged } = await build(t, { failure: new Error('connect ECONNREFUSED 10.0.0.7:6379') })
  const reply = await app.inject('/fail')
  t.equal(reply.statusCode, 500)
  t.equal(reply.json().error, 'internal_error')
  t.notMatch(reply.body, 'ECONNREFUSED')
  t.equal(logged.filter((line) => line.includes('ECONNREFUSED')).length, 1)
})

t.test('an error of another catalogue keeps its code, its fields and its Retry-After', async (t) => {
  const failure = new HttpError({ code: 'quota_exceeded', statusCode: 429 }, 'RPM limit exceeded (15 per minute)', {
    fields: { limit_type: 'rpm', retry_after: '37 seconds' },
    retryAfterSeconds: 37,
  })
  const { app } = await build(t, { failure })
  const reply = await app.inject('/fail')
  t.equal(reply.statusCode, 429)
  t.equal(reply.headers['retry-after'], '37')
  t.same(reply.json(), {
    error: 'quota_exceeded',
    message: 'RPM limit exceeded (15 per minute)',
    limit_type: 'rpm',
    retry_after: '37 seconds',
  })
})

t.test('a request id is accepted, made when absent or unsafe, echoed and logged', async (t) => {
  const { app, logged } = await build(t)
  const given = await app.inject({ url: '/health', headers: { 'x-request-id': 'abc-123' } })
  t.equal(given.headers['x-request-id'], 'abc-123')
  t.ok(logged.some((line) => JSON.parse(line).request_id === 'abc-123'))
  for (const unsafe of ['', 'a b', 'x'.repeat(200), 'a"b']) {
    const reply = await app.inject({ url: '/health', headers: { 'x-request-id': unsafe } })
    t.match(reply.headers['x-request-id'], /^[0-9a-f-]{36}$/, unsafe)
  }
})

t.test('ready says degraded when something optional is down, not_ready when something required is', async (t) => {
  const healthy: ReadyCheck = { required: true, check: async () => ({ status: 'healthy', ok: true }) }
  const broken = async () => {
    throw new Error('down')
  }
  const late = () => new Promise<never>(() => {})
  const table: [checks: Record<string, ReadyCheck>, code: number, status: string][] = [
    [{ a: healthy }, 200, 'ready'],
    [{ a: healthy, b: { required: false, check: broken } }, 200, 'degraded'],
    [{ a: healthy, b: { required: true, check: broken } }, 503, 'not_ready'],
    [{ a: healthy, b: { required: false, check: late } }, 200, 'degraded'],
  ]
  for (const [checks, code, status] of table) {
    const { app } = await build(t, { checks })
    await app.listen({ host: '127.0.0.1', port: 0 }) // the timeout of a check does not keep an idle process alive; a server does
    const reply = await app.inject('/ready')
    t.equal(reply.statusCode, code)
    t.equal(reply.json().status, status)
    t.match(reply.json().checks.a, { status: 'healthy', response_time: /^\d+\.\d{3}s$/ })
    if (checks.b) t.equal(reply.json().checks.b.status, 'unreachable')
  }
})
