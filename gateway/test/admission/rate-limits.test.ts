import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { createApp, createLogger, errorHandling } from '@knowalledge/service-kit'
import t, { type Test } from 'tap'
import { rateLimits } from '../../src/admission/rate-limits.ts'
import { type Caller, clientAddress } from '../../src/auth/caller.ts'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

const topic = '{"topic":"Light"}'

t.test('admits so many a minute to what may cost quota, and no more reach a service', async (t) => {
  let calls = 0
  const TEXT_GENERATION_URL = await serviceForTest(t, (request, response) => {
    calls++
    request.resume()
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  })
  const { url, post } = await gatewayForTest(t, { TEXT_GENERATION_URL, RATE_LIMIT_PER_MINUTE: '4' })
  const admitted = [
    await post('/api/create_subtopics', topic),
    await fetch(`${url}/api/subtopics?topic=Light`),
    await fetch(`${url}/api/explanation?topic=Light`, { method: 'HEAD' }),
    await post('/api/create_presentation', topic),
  ]
  for (const [at, reply] of admitted.entries()) {
    t.equal(reply.status, 200)
    t.equal(reply.headers.get('ratelimit-limit'), '4')
    t.equal(reply.headers.get('ratelimit-remaining'), String(3 - at))
    t.match(reply.headers.get('ratelimit-reset'), /^(60|59)$/)
    t.equal(reply.headers.get('retry-after'), null)
  }
  for (const path of ['/api/create_subtopics', '/api/generate_image', '/api/image2topic']) {
    const refused = await post(path, topic)
    t.equal(refused.status, 429, path)
    const seconds = refused.headers.get('retry-after')
    t.match(seconds, /^(60|59)$/)
    t.match(Object.fromEntries(refused.headers), {
      'ratelimit-limit': '4',
      'ratelimit-remaining': '0',
      'ratelimit-reset': seconds,
      'cache-control': 'no-store',
    })
    t.same(await refused.json(), {
      error: 'rate_limited',
      message: `Too many requests: at most 4 requests a minute for each client. Try again in ${seconds} seconds.`,
      retry_after: `${seconds} seconds`,
    })
  }
  t.equal(calls, 4)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, /application_errors_total\{endpoint="create_subtopics",error_type="rate_limited"\} 1/)
  t.match(metrics, /application_errors_total\{endpoint="generate_image",error_type="rate_limited"\} 1/)
})

t.test('cheap routes have a limit of their own, probes have none, and 0 is none', async (t) => {
  const { url, post } = await gatewayForTest(t, { RATE_LIMIT_PER_MINUTE: '0', RATE_LIMIT_CHEAP_PER_MINUTE: '2' })
  const status = async (path: string) => (await fetch(url + path)).status
  const picture = `/api/images/${'a'.repeat(64)}`
  t.same(
    [await status('/api/quota/stats'), await status('/openapi.json'), await status(picture), await status('/docs')],
    [200, 200, 429, 429],
  )
  for (const probe of ['/health', '/ready', '/metrics', '/api/health', '/api/ready']) {
    for (let n = 0; n < 5; n++) {
      const reply = await fetch(url + probe)
      t.not(reply.status, 429, probe)
      t.equal(reply.headers.get('ratelimit-limit'), null)
    }
  }
  for (let n = 0; n < 5; n++) t.equal((await post('/api/create_subtopics')).status, 503, 'as far as the dead service')
})

t.test('each address has its own limit', async (t) => {
  const { url } = await gatewayForTest(t, { RATE_LIMIT_CHEAP_PER_MINUTE: '2' })
  const statuses = []
  for (const localAddress of ['127.0.0.1', '127.0.0.2', '127.0.0.1', '127.0.0.2', '127.0.0.1', '127.0.0.2'])
    statuses.push((await ask(`${url}/api/quota/stats`, { localAddress })).status)
  t.same(statuses, [200, 200, 200, 200, 429, 429])
})

t.test(
  'a key is counted with all of its sessions, wherever it comes from, and an IPv6 client by its network',
  async (t) => {
    const { app, clock } = await appForTest(t, { RATE_LIMIT_PER_MINUTE: 2 })
    const status = async (caller: string, remoteAddress = '192.0.2.1') =>
      (await app.inject({ url: '/asks', headers: { caller }, remoteAddress })).statusCode
    for (const [key, session] of [
      ['key:1', 'session:1'],
      ['key:2', 'session:2'],
    ] as const) {
      t.same([await status(key), await status(session, '192.0.2.2')], [200, 200], key)
      t.same([await status(key), await status(session)], [429, 429], key)
    }
    t.same([await status('address:2001:db8::1'), await status('address:2001:db8::ffff:1')], [200, 200])
    t.equal(await status('address:2001:db8::2'), 429, 'of the same /64')
    t.equal(await status('address:2001:db8:0:1::2'), 200)
    t.same([await status('address:::ffff:192.0.2.9'), await status('address:192.0.2.9')], [200, 200])
    t.equal(await status('address:192.0.2.9'), 429, 'the same address, written twice')

    const refused = await app.inject({ url: '/asks', headers: { caller: 'key:1' } })
    clock.nowMs += 1000 * Number(refused.headers['retry-after'])
    t.equal(await status('key:1'), 200, 'a wait of Retry-After is enough')
  },
)

t.test('a scanner gets 429 for what does not exist, while its good requests still work', async (t) => {
  const { url, post } = await gatewayForTest(t, { RATE_LIMIT_NOT_FOUND_PER_MINUTE: '3' })
  const statuses = []
  for (const path of ['/.env', '/wp-login.php', '/api/nothing', '/.git/config'])
    statuses.push((await fetch(url + path)).status)
  statuses.push((await post('/api/quota/stats')).status)
  t.same(statuses, [404, 404, 404, 429, 429], 'a method that does not exist is no better')
  t.match(await (await fetch(`${url}/.env`)).json(), { error: 'rate_limited', message: /paths that do not exist/ })
  t.equal((await fetch(`${url}/api/quota/stats`)).status, 200)
  t.equal((await ask(`${url}/.env`, { localAddress: '127.0.0.2' })).status, 404)
})

t.test('a refused body is not read by anybody, and its connection goes on', async (t) => {
  let bytes = 0
  const VISION_URL = await serviceForTest(t, async (request, response) => {
    bytes += (await text(request)).length
    response.end('{}')
  })
  const { url } = await gatewayForTest(t, { VISION_URL, RATE_LIMIT_PER_MINUTE: '1' })
  const { port } = new URL(url)
  const socket = connect(Number(port), '127.0.0.1').setEncoding('utf8')
  t.teardown(() => socket.destroy())
  const statuses: string[] = []
  socket.on('data', (piece) => statuses.push(...(String(piece).match(/(?<=HTTP\/1\.1 )\d+/g) ?? [])))
  for (const length of [1, 4 * 1024 * 1024]) {
    socket.write(`POST /api/image2topic HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n${'x'.repeat(length)}`)
  }
  socket.write('GET /api/quota/stats HTTP/1.1\r\nHost: x\r\n\r\n')
  while (statuses.length < 3) await once(socket, 'data')
  t.same(statuses, ['200', '429', '200'])
  t.equal(bytes, 1)
})

interface Asked {
  localAddress?: string
}

async function ask(url: string, options: Asked) {
  const asked = httpRequest(url, options).end()
  const [reply] = (await once(asked, 'response')) as [IncomingMessage]
  await text(reply)
  return { status: reply.statusCode }
}

const unlimited = {
  RATE_LIMIT_PER_MINUTE: 0,
  RATE_LIMIT_CHEAP_PER_MINUTE: 0,
  RATE_LIMIT_NOT_FOUND_PER_MINUTE: 0,
}

/** The limits alone, before one route of the expensive kind; callers are made out by what the test sends. */
async function appForTest(t: Test, config: Partial<typeof unlimited>) {
  const clock = { nowMs: 0 }
  const requestCounts = { redis: undefined, onFault: () => {}, now: () => clock.nowMs }
  const app = await createApp({ service: 'test', logger: createLogger({ level: 'silent', pretty: false }) })
  await app.register(errorHandling)
  await app.register(clientAddress)
  await app.register(rateLimits, { config: { ...unlimited, ...config, QUOTA_POOL: 'test' }, requestCounts })
  app.addHook('onRequest', async (request) => {
    const { caller = 'key:1' } = request.headers
    const [, kind, id] = /^(\w+):(.*)$/.exec(String(caller)) as unknown as [string, Caller['kind'], string]
    const keyId = kind === 'address' ? undefined : id
    request.caller = {
      kind,
      id,
      keyId,
      browser: undefined,
      tenant: undefined,
      address: kind === 'address' ? id : request.ip,
    }
  })
  app.get('/asks', { config: { endpoint: 'create_subtopics' } }, async () => ({}))
  t.teardown(() => app.close())
  return { app, clock }
}
