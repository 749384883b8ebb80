import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { nginxForTest } from '@knowalledge/testing'
import t from 'tap'
import { ask, upstreamForTest } from './edge-upstream.ts'

const answerAll = (_request: IncomingMessage, reply: ServerResponse) => reply.end('{}')

t.test("a process's own probes, figures and levers are closed, however the path is written", async (t) => {
  const upstream = await upstreamForTest(t, answerAll)
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  const closed = [
    '/metrics',
    '/metrics/',
    '/metrics?x=1',
    '//metrics',
    '/./metrics',
    '/api/../metrics',
    '/%6Detrics',
    '/api/%2e%2e/metrics',
    '/api/..%2fmetrics',
    `${url}/metrics`,
    '/health',
    '/ready',
    '/api/admin/cache/invalidate',
    '/api//admin/cache/invalidate',
    '/api/images/../admin/cache/invalidate',
    '/api/images/%2E%2E/admin/cache/invalidate',
    '/api/%61dmin/cache/invalidate',
  ]
  for (const path of closed) {
    for (const method of ['GET', 'POST']) {
      const answer = await ask(url, path, { method })
      t.match(answer, { status: 404, headers: { 'content-type': /^application\/json/ } }, `${method} ${path}`)
      t.match(JSON.parse(answer.body), { error: 'not_found', message: String })
    }
  }
  t.equal(upstream.seen.length, 0)
  for (const path of ['/api/health', '/api/ready', '/docs', '/openapi.json', '/api/metricsystem']) {
    t.match(await ask(url, path), { status: 200 }, `${path} is open`)
  }
})

t.test('bodies: JSON of 256 KiB passes and a byte more does not; a form may have 10 MiB and 64 KiB', async (t) => {
  const upstream = await upstreamForTest(t, (request, reply) => {
    let bytes = 0
    request.on('data', (piece) => {
      bytes += piece.length
    })
    request.on('end', () => reply.end(String(bytes)))
  })
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  for (const [path, limit] of [
    ['/api/create_subtopics', 256 * 1024],
    ['/api/image2topic', (10 * 1024 + 64) * 1024],
  ] as const) {
    const send = (bytes: number) => ask(url, path, { method: 'POST', body: 'x'.repeat(bytes) })
    t.match(await send(limit), { status: 200, body: String(limit) })
    const refused = await send(limit + 1)
    t.match(refused, { status: 413, headers: { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } })
    t.match(JSON.parse(refused.body), { error: 'payload_too_large', message: /256 KiB.*10 MiB/ })
  }
  t.equal(upstream.seen.length, 2)
})

t.test('a well-formed request id is passed on, echoed and logged; any other is replaced', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) => reply.setHeader('x-request-id', 'not this').end('{}'))
  const { url, accessLog } = await nginxForTest(t, { gateways: [upstream.url] })
  const given = ['my-id.1:a_B', 'x'.repeat(128), 'x'.repeat(129), 'no spaces', '"},{"', '']
  for (const id of given) {
    const { requestId: echoed } = await ask(url, '/api/quota/stats', { headers: { 'x-request-id': id } })
    if (given.indexOf(id) < 2) t.equal(echoed, id)
    else t.match(echoed, /^[0-9a-f]{32}$/)
    t.equal(upstream.seen.at(-1)?.headers['x-request-id'], echoed)
  }
  const passedOn = upstream.seen.map((request) => String(request.headers['x-request-id']))
  const logged = (await accessLog(passedOn)).map((line) => line.request_id)
  t.strictSame(logged.toSorted(), passedOn.toSorted())
})

t.test('the access log is JSON, one line for each request, without its query', async (t) => {
  const upstream = await upstreamForTest(t, answerAll)
  const { url, accessLog } = await nginxForTest(t, { gateways: [upstream.url] })
  const { requestId } = await ask(url, '/api/subtopics?topic=my%20illness', {
    headers: { 'user-agent': 'quote " and \\ in it' },
  })
  const [line] = await accessLog([requestId])
  t.match(line, {
    method: 'GET',
    path: '/api/subtopics',
    status: 200,
    client: '127.0.0.1',
    edge_cache: 'MISS',
    upstream: new URL(upstream.url).host,
    upstream_status: '200',
    user_agent: 'quote " and \\ in it',
    duration_seconds: Number,
    bytes: Number,
  })
  t.notMatch(JSON.stringify(line), 'illness')
})

t.test('every answer has the security headers, once', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) =>
    reply.setHeader('x-frame-options', 'SAMEORIGIN').end('{}'),
  )
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  for (const path of ['/api/quota/stats', '/api/subtopics?topic=a', '/metrics']) {
    const { headers } = await ask(url, path)
    t.match(headers, {
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      server: 'nginx',
    })
  }
})

t.test("nginx's own errors have the shape of all others; a gateway's are passed on as they are", async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) => reply.writeHead(404).end('{"error":"its own"}'))
  const { url, port } = await nginxForTest(t, { gateways: [upstream.url] })
  t.match(await ask(url, '/api/nothing'), { status: 404, body: '{"error":"its own"}' })
  const broken: [bytes: string, status: number, error: string][] = [
    ['BOGUS\r\n\r\n', 400, 'invalid_input'],
    ['GET / HTTP/1.1\r\n\r\n', 400, 'invalid_input'],
    ['TRACE / HTTP/1.1\r\nHost: x\r\n\r\n', 405, 'method_not_allowed'],
    [`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414, 'uri_too_long'],
    [`GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
  ]
  for (const [bytes, status, error] of broken) {
    const [head, body] = (await exchange(port, bytes)).split('\r\n\r\n')
    t.match(head, new RegExp(`^HTTP/1.1 ${status} `))
    t.match(head, /Content-Type: application\/json/)
    t.match(JSON.parse(body ?? ''), { error, message: String })
  }
  t.equal(upstream.seen.length, 1)
})

async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1').setEncoding('latin1')
  socket.write(bytes)
  let text = ''
  for await (const piece of socket) text += piece
  return text
}
