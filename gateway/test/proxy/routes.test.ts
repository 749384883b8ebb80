import { once } from 'node:events'
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { text } from 'node:stream/consumers'
import { setImmediate } from 'node:timers/promises'
import type { Tenant } from '@knowalledge/quota-client'
import type { App } from '@knowalledge/service-kit'
import t from 'tap'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

t.test('passes a request and its answer on, with the id and without what a client could forge', async (t) => {
  const seen: { url?: string | undefined; headers: Record<string, unknown>; body: string }[] = []
  const TEXT_GENERATION_URL = await serviceForTest(t, async (request, response) => {
    seen.push({ url: request.url, headers: request.headers, body: await text(request) })
    response.writeHead(200, { 'content-type': 'application/json', 'x-cache': 'memory' }).end('{"ok":true}')
  })
  const { post } = await gatewayForTest(t, { TEXT_GENERATION_URL })
  const reply = await post('/api/create_subtopics', '{"topic":"x"}', {
    'x-request-id': 'my-id',
    'x-forwarded-for': '6.6.6.6',
    'x-tenant': 'someone-else',
    authorization: 'Bearer x',
    cookie: 'session=x',
    'accept-language': 'es',
  })
  t.same(await reply.json(), { ok: true })
  t.equal(reply.headers.get('x-cache'), 'memory')
  t.equal(reply.headers.get('x-request-id'), 'my-id')
  t.match(seen[0], {
    url: '/api/create_subtopics',
    body: '{"topic":"x"}',
    headers: { 'x-request-id': 'my-id', 'accept-language': 'es' },
  })
  t.equal(seen[0]?.headers['x-forwarded-for'], '127.0.0.1')
  for (const dropped of ['x-tenant', 'authorization', 'cookie']) t.notOk(dropped in (seen[0]?.headers ?? {}), dropped)
})

t.test(
  'of a client’s headers a service sees those that a question has, and none of a connection or of trust',
  async (t) => {
    const seen: IncomingHttpHeaders[] = []
    const TEXT_GENERATION_URL = await serviceForTest(t, (request, response) => {
      request.resume()
      seen.push(request.headers)
      response.end('{}')
    })
    const { url } = await gatewayForTest(t, { TEXT_GENERATION_URL })
    const forged = {
      connection: 'keep-alive, x-hop, Accept-Language',
      'x-hop': '1',
      'accept-language': 'es',
      'keep-alive': 'timeout=5',
      te: 'trailers',
      trailer: 'x',
      upgrade: 'h2c',
      'proxy-authorization': 'Basic x',
      'proxy-connection': 'keep-alive',
      authorization: 'Bearer x',
      cookie: 'session=x',
      'x-api-key': 'x',
      'x-tenant': 'someone-else;rpm=1000',
      'X-TENANT': 'another',
      forwarded: 'for=6.6.6.6',
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      'x-real-ip': '6.6.6.6',
      'x-client-ip': '6.6.6.6',
      'x-original-url': '/api/admin',
      host: 'evil.example',
    }
    const asked = { accept: 'application/json', 'content-type': 'application/json', 'if-none-match': '"x"' }
    const request = httpRequest(`${url}/api/create_subtopics`, { method: 'POST', headers: { ...forged, ...asked } })
    const [response] = await once(request.end('{}'), 'response')
    t.equal(response.resume().statusCode, 200)
    const { 'x-request-id': id, ...rest } = seen[0] ?? {}
    t.match(id, /^[0-9a-f-]{36}$/)
    const host = TEXT_GENERATION_URL.replace('http://', '')
    t.same(rest, { ...asked, host, connection: 'keep-alive', 'content-length': '2', 'x-forwarded-for': '127.0.0.1' })
  },
)

t.test('of a service’s headers a client sees none of its connection, nor what it runs on', async (t) => {
  const TEXT_GENERATION_URL = await serviceForTest(t, (_request, response) => {
    const dropped = { connection: 'keep-alive, x-hop', 'x-hop': '1', 'proxy-authenticate': 'Basic', trailer: 'x' }
    const ofTheServer = { server: 'Express', 'x-powered-by': 'PHP/5', upgrade: 'h2c' }
    response.writeHead(200, { ...dropped, ...ofTheServer, etag: '"x"', vary: 'accept-language' }).end('{}')
  })
  const { url } = await gatewayForTest(t, { TEXT_GENERATION_URL })
  const { headers } = await fetch(`${url}/api/subtopics?topic=Light`)
  for (const name of ['x-hop', 'proxy-authenticate', 'trailer', 'server', 'x-powered-by', 'upgrade'])
    t.notOk(headers.has(name), name)
  t.match(Object.fromEntries(headers), { etag: '"x"', vary: 'accept-language', connection: 'keep-alive' })
})

t.test('on whose behalf it asks, with its limits, the gateway says and nobody else', async (t) => {
  const seen: unknown[] = []
  const TEXT_GENERATION_URL = await serviceForTest(t, (request, response) => {
    seen.push(request.headers['x-tenant'])
    response.end('{}')
  })
  const tenants: (Tenant | undefined)[] = [
    { id: 'school-a', limits: { rpm: 5, tpd: 100_000 } },
    { id: '1st.school_b', limits: {} },
    undefined,
  ]
  const prepare = (app: App) => {
    app.addHook('onRequest', async (request) => {
      request.caller = {
        kind: 'key',
        id: 'k',
        keyId: 'k',
        browser: undefined,
        tenant: tenants[seen.length],
        address: '192.0.2.1',
      }
    })
  }
  const { url, logged } = await gatewayForTest(t, { TEXT_GENERATION_URL }, { prepare })
  for (const _ of tenants) await fetch(`${url}/api/subtopics?topic=Light`, { headers: { 'x-tenant': 'forged' } })
  t.same(seen, ['school-a;rpm=5;tpd=100000', '1st.school_b', undefined])
  const completed = () => logged.filter(({ msg }) => msg === 'request completed')
  while (completed().length < tenants.length) await setImmediate()
  t.same(
    completed().map(({ tenant }) => tenant),
    ['school-a', '1st.school_b', undefined],
  )
})

t.test("a service's error keeps its shape, its status and its Retry-After", async (t) => {
  const body = {
    error: 'quota_exceeded',
    message: 'RPM limit exceeded (15 per minute)',
    limit_type: 'rpm',
    retry_after: '37 seconds',
  }
  const VISION_URL = await serviceForTest(t, (request, response) => {
    request.resume()
    response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '37' }).end(JSON.stringify(body))
  })
  const { post } = await gatewayForTest(t, { VISION_URL })
  const reply = await post('/api/image2topic')
  t.equal(reply.status, 429)
  t.equal(reply.headers.get('retry-after'), '37')
  t.same(await reply.json(), body)
})

t.test('a dead upstream does not leak: 503 refused or reset, 504 late, 502 nonsense', async (t) => {
  const resetting = await serviceForTest(t, (request) => request.socket.destroy())
  const late = await serviceForTest(t, (request) => void request.resume())
  const nonsense = await serviceForTest(t, (request) => void request.socket.end('GARBAGE 1 2 3\r\n\r\n'))
  const table: [name: string, url: string | undefined, status: number, error: string][] = [
    ['refused', undefined, 503, 'service_unavailable'],
    ['reset', resetting, 503, 'service_unavailable'],
    ['no such name', 'http://no-such-host.invalid', 503, 'service_unavailable'],
    ['late', late, 504, 'timeout'],
    ['nonsense', nonsense, 502, 'bad_gateway'],
  ]
  for (const [name, url, status, error] of table) {
    const { post } = await gatewayForTest(t, {
      UPSTREAM_TIMEOUT_MS: '1000',
      ...(url ? { TEXT_GENERATION_URL: url } : {}),
    })
    const reply = await post('/api/create_subtopics', '{"topic":"x"}')
    t.equal(reply.status, status, name)
    const body = await reply.text()
    t.match(JSON.parse(body), { error, message: /text-generation service/ }, name)
    t.notMatch(body, /127\.0\.0\.1|ECONN|no-such-host|\n +at /, name)
  }
})

t.test('a 503 of a service is passed on and not repeated', async (t) => {
  let calls = 0
  const IMAGE_GENERATION_URL = await serviceForTest(t, (_request, response) => {
    calls++
    response.writeHead(503, { 'content-type': 'application/json' }).end('{"error":"x","message":"y"}')
  })
  const { url } = await gatewayForTest(t, { IMAGE_GENERATION_URL })
  t.equal((await fetch(`${url}/api/images/${'a'.repeat(64)}`)).status, 503)
  t.equal(calls, 1)
})

t.test('how the connection to a service stands is not passed on to the client', async (t) => {
  const TEXT_GENERATION_URL = await serviceForTest(t, (request, response) => {
    request.resume()
    response.writeHead(200, { connection: 'close' }).end('{}')
  })
  const { url } = await gatewayForTest(t, { TEXT_GENERATION_URL })
  const { port } = new URL(url)
  for (const connection of ['keep-alive', 'close']) {
    const request = httpRequest({ port, method: 'POST', path: '/api/create_subtopics', headers: { connection } }).end()
    const [response] = await once(request, 'response')
    t.equal(response.headers.connection, connection)
    response.resume()
  }
})

t.test('several instances take turns', async (t) => {
  const names = ['a', 'b', 'c']
  const urls = await Promise.all(
    names.map((name) =>
      serviceForTest(t, (request, response) => {
        request.resume()
        response.end(name)
      }),
    ),
  )
  const { post } = await gatewayForTest(t, { TEXT_GENERATION_URL: urls.join(' , ') })
  const answered = []
  for (let n = 0; n < 6; n++) answered.push(await (await post('/api/create_subtopics')).text())
  t.same(answered, ['a', 'b', 'c', 'a', 'b', 'c'])
})

t.test('a picture passes as a stream, larger than may be: the service decides', async (t) => {
  const VISION_URL = await serviceForTest(t, async (request, response) => {
    let bytes = 0
    for await (const chunk of request) bytes += chunk.length
    response.end(String(bytes))
  })
  const { post } = await gatewayForTest(t, { VISION_URL })
  const size = 11 * 1024 * 1024
  const reply = await post('/api/image2topic', new Uint8Array(size), {
    'content-type': 'multipart/form-data; boundary=x',
  })
  t.equal(await reply.text(), String(size))
})

t.test('an upload that expects 100-continue, as curl sends it, is passed on', async (t) => {
  const VISION_URL = await serviceForTest(t, async (request, response) => {
    response.end(`${request.headers.expect} ${(await text(request)).length}`)
  })
  const { url } = await gatewayForTest(t, { VISION_URL })
  const { port } = new URL(url)
  const request = httpRequest({
    port,
    method: 'POST',
    path: '/api/image2topic',
    headers: { expect: '100-continue', 'content-length': 5 },
  })
  request.on('continue', () => request.end('hello')).flushHeaders()
  const [response] = await once(request, 'response')
  t.equal(await text(response), 'undefined 5')
})

t.test('anything else ends at the gateway', async (t) => {
  let calls = 0
  const TEXT_GENERATION_URL = await serviceForTest(t, (_request, response) => {
    calls++
    response.end()
  })
  const { url, post } = await gatewayForTest(t, { TEXT_GENERATION_URL })
  for (const path of ['/api', '/api/create_subtopics/extra', '/api/unknown', '/admin']) {
    const reply = await post(path)
    t.equal(reply.status, 404, path)
    t.match(await reply.json(), { error: 'not_found' }, path)
  }
  const wrongMethod = await fetch(`${url}/api/create_subtopics`)
  t.equal(wrongMethod.status, 405)
  t.equal(wrongMethod.headers.get('allow'), 'POST')
  t.match(await wrongMethod.json(), { error: 'method_not_allowed' })
  t.equal(calls, 0)
})
