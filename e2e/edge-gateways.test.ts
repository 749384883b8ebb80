import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { gunzipSync } from 'node:zlib'
import { loadConfig } from '@knowalledge/gateway/config'
import { nginxForTest } from '@knowalledge/testing'
import t from 'tap'
import { ask, upstreamForTest } from './edge-upstream.ts'

const answerAll = (_request: IncomingMessage, reply: ServerResponse) => reply.end('{}')

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

t.test('a gateway may take its time: it is the one who gives up', (t) => {
  const conf = readFileSync(new URL('../nginx/nginx.conf', import.meta.url), 'utf8')
  const timeouts = [...conf.matchAll(/proxy_(?:read|next_upstream)_timeout +(\d+)s;/g)].map((match) => Number(match[1]))
  t.equal(timeouts.length, 2)
  for (const seconds of timeouts) t.ok(seconds * 1000 > loadConfig({}).UPSTREAM_TIMEOUT_MS)
  t.end()
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
  const requestIds: string[] = []
  for (const path of ['/api/create_subtopics', '/api/image2topic']) {
    for (let n = 0; n < 2; n++) {
      const answer = await ask(url, path, { method: 'POST', body: '{}' })
      t.equal(answer.status, 200)
      requestIds.push(answer.requestId)
    }
  }
  t.ok((await accessLog(requestIds)).some((line) => line.upstream.startsWith('127.0.0.1:1, ')))
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

t.test('the client is the address that nginx sees, not the one that it claims', async (t) => {
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
