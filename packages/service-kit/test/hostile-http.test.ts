import { once } from 'node:events'
import { createMetrics } from '@knowalledge/metrics'
import { converse } from '@knowalledge/testing'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { createServiceApp } from '../src/index.ts'

async function listening(t: Test) {
  const logged: string[] = []
  const metrics = createMetrics()
  const app = await createServiceApp({
    service: 'test',
    description: 'A test.',
    logger: pino({ level: 'error' }, { write: (line: string) => logged.push(line) }),
    metrics,
    checks: {},
    quotaPools: [],
  })
  const failed = new Promise((resolve) => app.addHook('onError', async (_request, _reply, error) => resolve(error)))
  const wholeWhenAnswered: boolean[] = []
  app.addHook('onResponse', async ({ raw }) => void wholeWhenAnswered.push(raw.complete))
  app.post('/echo', async (request) => request.body)
  app.post('/until-the-client-leaves', async (_request, reply) => {
    await once(reply.raw, 'close')
    throw new Error('nobody waits')
  })
  t.teardown(() => app.close())
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, url, logged, metrics, failed, wholeWhenAnswered }
}

const head = (...lines: string[]) => `${lines.join('\r\n')}\r\n\r\n`
const json = 'content-type: application/json'
const get = (...headers: string[]) => head('GET /health HTTP/1.1', 'connection: close', ...headers)

t.test('what Node refuses without a word, or lets through, gets the one error shape', async (t) => {
  const { url } = await listening(t)
  const table: [name: string, bytes: string, status: number, error: string][] = [
    ['no Host', get(), 400, 'invalid_input'],
    ['two Hosts', get('host: a', 'host: a'), 400, 'invalid_input'],
    ['a Host that is none', get('host: a/b'), 400, 'invalid_input'],
    ['HTTP/0.9', 'GET /health\r\n\r\n', 400, 'invalid_input'],
    [
      'a whole URL as target',
      head('GET http://a/health HTTP/1.1', 'host: a', 'connection: close'),
      400,
      'invalid_input',
    ],
    [
      'a query that is no UTF-8',
      head('GET /health?a=%ff HTTP/1.1', 'host: a', 'connection: close'),
      400,
      'invalid_input',
    ],
    ['more headers than anybody needs', get('host: a', ...Array(100).fill('a: b')), 431, 'headers_too_large'],
    ['another Expect', get('host: a', 'expect: x'), 417, 'expectation_failed'],
    ['another Expect, hidden', get('host: a', 'expect: 100-continue, x'), 417, 'expectation_failed'],
    ['a compressed body', get('host: a', 'content-encoding: gzip'), 415, 'unsupported_media_type'],
    ['CONNECT', head('CONNECT a:443 HTTP/1.1', 'host: a'), 405, 'method_not_allowed'],
  ]
  for (const [name, bytes, status, error] of table) {
    const { answers, rest } = await converse(url, bytes)
    t.match(answers, [{ status }], name)
    t.match(JSON.parse(answers[0]?.body ?? ''), { error, message: /^[A-Z].*\.$/ }, name)
    t.equal(rest, '', name)
  }
})

t.test('every Host that clients really send is welcome, and none at all in HTTP/1.0', async (t) => {
  const { url } = await listening(t)
  for (const host of [
    'a',
    'a.example:5000',
    'text_generation:5001',
    '127.0.0.1',
    '[::1]:5000',
    'xn--bcher-kva.example',
  ]) {
    t.match(await converse(url, get(`host: ${host}`)), { answers: [{ status: 200 }] }, host)
  }
  t.match(await converse(url, head('GET /health HTTP/1.0')), { answers: [{ status: 200 }] })
})

t.test('an answer given before the body broke is the only one', async (t) => {
  const { url } = await listening(t)
  const chunked = head('POST /nowhere HTTP/1.1', 'host: a', 'transfer-encoding: chunked')
  const broken = await converse(url, `${chunked}5\r\nhello\r\nbroken`)
  t.match(
    broken.answers.map(({ status }) => status),
    [400],
  )
  const early = await converse(url, [
    head('POST /nowhere HTTP/1.1', 'host: a', 'expect: x', 'transfer-encoding: chunked'),
    'broken\r\n',
  ])
  t.match(
    early.answers.map(({ status }) => status),
    [417],
    'the answer was out: only the end can follow',
  )
})

t.test('what is broken after an unanswered request does not answer it', async (t) => {
  const { app, url } = await listening(t)
  const slow = await converse(url, `${head('GET /ready HTTP/1.1', 'host: a')}broken\r\n\r\n`)
  t.strictSame(slow, { answers: [], rest: '' }, 'no answer of the second passes for the first')
  const answered = await converse(url, [head('GET /ready HTTP/1.1', 'host: a'), 'broken\r\n\r\n'])
  t.match(
    answered.answers.map(({ status }) => status),
    [200, 400],
  )
  t.equal(app.server.listening, true)
})

t.test('a refusal never overtakes the body, however large: the client would lose it to a reset', async (t) => {
  const { url, wholeWhenAnswered } = await listening(t)
  const body = Buffer.alloc(8 * 1024 * 1024, ' ')
  const post = (...headers: string[]) => {
    const lines = ['POST /echo HTTP/1.1', 'host: a', 'connection: close', `content-length: ${body.length}`, ...headers]
    return Buffer.concat([Buffer.from(head(...lines)), body])
  }
  t.match((await converse(url, post(json))).answers, [{ status: 413 }])
  t.match((await converse(url, post('content-type: text/plain'))).answers, [{ status: 415 }])
  t.match((await converse(url, post(json, 'host: b'))).answers, [{ status: 400 }])
  t.strictSame(wholeWhenAnswered, [true, true, true])
})

t.test('what fails because its client broke off is no failure of ours: not logged, not counted', async (t) => {
  const { url, logged, metrics, failed } = await listening(t)
  const chunked = head('POST /echo HTTP/1.1', 'host: a', json, 'transfer-encoding: chunked')
  await converse(url, `${chunked}5\r\n{"a":\r\nbroken\r\n`)
  t.ok(await failed)
  await converse(url, get('host: a').replace('health', 'nowhere')) // answered after the failure was dealt with
  t.strictSame(logged, [])
  t.strictSame(errorsCounted(await metrics.registry.metrics()), [onlyNotFound])
})

t.test('nor is what fails after its client left', async (t) => {
  const { url, logged, metrics, failed } = await listening(t)
  const question = head('POST /until-the-client-leaves HTTP/1.1', 'host: a', json, 'content-length: 2')
  await converse(url, `${question}{}`, { ends: true })
  t.match(await failed, { message: 'nobody waits' })
  await converse(url, get('host: a').replace('health', 'nowhere'))
  t.strictSame(logged, [])
  t.strictSame(errorsCounted(await metrics.registry.metrics()), [onlyNotFound])
})

const onlyNotFound = 'application_errors_total{endpoint="unknown",error_type="not_found"} 1'

function errorsCounted(exposition: string): string[] {
  return exposition.split('\n').filter((line) => line.startsWith('application_errors_total{'))
}
