import { once } from 'node:events'
import { Agent, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { gunzipSync } from 'node:zlib'
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

t.test('an upload streams through: the gateway reads while the client still sends', async (t) => {
  let firstPieceArrived = () => {}
  const arrived = new Promise<void>((resolve) => {
    firstPieceArrived = resolve
  })
  const upstream = await upstreamForTest(t, (request, reply) => {
    request.once('data', firstPieceArrived)
    request.on('end', () => reply.end('{}'))
  })
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  const upload = request(`${url}/api/image2topic`, { method: 'POST', headers: { 'content-length': '2000' } })
  upload.write('x'.repeat(1000))
  await arrived
  upload.end('x'.repeat(1000))
  const [reply] = (await once(upload, 'response')) as [IncomingMessage]
  t.equal(reply.resume().statusCode, 200)
})

t.test('an event stream comes through event by event', async (t) => {
  const streams: ServerResponse[] = []
  const upstream = await upstreamForTest(t, (_request, reply) => {
    reply.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n')
    streams.push(reply)
  })
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  for (const method of ['GET', 'POST']) {
    const reply = await fetch(`${url}/api/create_presentation`, { method, headers: { 'accept-encoding': 'gzip' } })
    const events = reply.body?.pipeThrough(new TextDecoderStream()).getReader()
    t.match(await events?.read(), { value: 'data: first\n\n' })
    streams.at(-1)?.write('data: second\n\n')
    t.match(await events?.read(), { value: 'data: second\n\n' }, 'while the stream is still open')
    streams.at(-1)?.end()
    t.match(await events?.read(), { done: true })
  }
})

t.test('a POST that may have been begun is never sent twice; a GET goes on to the next gateway', async (t) => {
  const dying = await upstreamForTest(t, (request) => request.socket.destroy())
  const alive = await upstreamForTest(t, answerAll)
  const sent = async (method: string) => {
    const { url } = await nginxForTest(t, { gateways: [dying.url, alive.url] })
    const statuses: number[] = []
    for (let n = 0; n < 4; n++) {
      const answer = await ask(url, '/api/quota/stats', { method, body: method === 'POST' ? '{}' : '' })
      statuses.push(answer.status)
      if (answer.status === 502) t.match(JSON.parse(answer.body), { error: 'bad_gateway', message: String })
    }
    return statuses
  }
  t.same(await sent('GET'), [200, 200, 200, 200])
  t.ok(dying.seen.length > 0)
  const before = dying.seen.length + alive.seen.length
  const posted = await sent('POST')
  t.ok(posted.includes(502), 'the one that the dying gateway had begun')
  t.ok(posted.includes(200), 'and those that it was not asked any more')
  t.equal(dying.seen.length + alive.seen.length - before, 4)
})

t.test('a POST that no dead gateway can have seen goes on to the next', async (t) => {
  const alive = await upstreamForTest(t, answerAll)
  const { url, accessLog } = await nginxForTest(t, { gateways: ['http://127.0.0.1:1', alive.url] })
  for (const path of ['/api/create_subtopics', '/api/image2topic']) {
    for (let n = 0; n < 2; n++) t.match(await ask(url, path, { method: 'POST', body: '{}' }), { status: 200 })
  }
  t.ok((await accessLog()).some((line) => line.upstream.startsWith('127.0.0.1:1, ')))
})

t.test('connections to a gateway are kept', async (t) => {
  const upstream = await upstreamForTest(t, answerAll)
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 }) // one connection is one worker
  t.teardown(() => agent.destroy())
  for (let n = 0; n < 10; n++) {
    const asked = request(`${url}/api/create_subtopics`, { method: 'POST', agent }).end('{}')
    const [reply] = (await once(asked, 'response')) as [IncomingMessage]
    await once(reply.resume(), 'end')
  }
  t.equal(upstream.seen.length, 10)
  t.equal(upstream.connections(), 1)
})

t.test('who asks is what nginx sees, not what the client claims', async (t) => {
  const upstream = await upstreamForTest(t, answerAll)
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  await ask(url, '/api/quota/stats', {
    headers: {
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-port': '1',
      forwarded: 'for=6.6.6.6',
      'x-real-ip': '6.6.6.6',
    },
  })
  const headers = upstream.seen[0]?.headers ?? {}
  t.match(headers, { 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http', 'x-forwarded-host': '127.0.0.1' })
  t.notMatch(JSON.stringify(headers), /6\.6\.6\.6|evil/)
  t.strictSame(
    [headers.forwarded, headers['x-real-ip'], headers['x-forwarded-port']],
    [undefined, undefined, undefined],
  )
})

t.test('a well-formed request id is passed on, echoed and logged; any other is replaced', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) => reply.setHeader('x-request-id', 'not this').end('{}'))
  const { url, accessLog } = await nginxForTest(t, { gateways: [upstream.url] })
  const given = ['my-id.1:a_B', 'x'.repeat(128), 'x'.repeat(129), 'no spaces', '"},{"', '']
  for (const id of given) {
    const { headers } = await ask(url, '/api/quota/stats?topic=secret', { headers: { 'x-request-id': id } })
    const echoed = String(headers['x-request-id'])
    if (given.indexOf(id) < 2) t.equal(echoed, id)
    else t.match(echoed, /^[0-9a-f]{32}$/)
    t.equal(upstream.seen.at(-1)?.headers['x-request-id'], echoed)
  }
  const logged = (await accessLog()).map((line) => line.request_id)
  t.strictSame(
    logged,
    upstream.seen.map((request) => request.headers['x-request-id']),
  )
})

t.test('the access log is JSON, one line a request, without what was asked', async (t) => {
  const upstream = await upstreamForTest(t, answerAll)
  const { url, accessLog } = await nginxForTest(t, { gateways: [upstream.url] })
  await ask(url, '/api/subtopics?topic=my%20illness', { headers: { 'user-agent': 'quote " and \\ in it' } })
  const [line] = await accessLog()
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

t.test('JSON is compressed for who can read that, from one cached copy', async (t) => {
  const body = JSON.stringify({ text: 'light '.repeat(1000) })
  const upstream = await upstreamForTest(t, (_request, reply) => {
    reply
      .writeHead(200, { 'content-type': 'application/json', 'cache-control': 's-maxage=900', etag: 'W/"one"' })
      .end(body)
  })
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  const plain = await ask(url, '/api/subtopics?topic=a')
  t.match(plain, { cache: 'MISS', body })
  const asked = request(`${url}/api/subtopics?topic=a`, { headers: { 'accept-encoding': 'gzip' } }).end()
  const [reply] = (await once(asked, 'response')) as [IncomingMessage]
  t.match(reply.headers, {
    'content-encoding': 'gzip',
    etag: 'W/"one"',
    'x-edge-cache': 'HIT',
    vary: /accept-encoding/i,
  })
  t.equal(gunzipSync(Buffer.concat(await reply.toArray())).toString(), body)
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
