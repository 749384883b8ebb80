import { once } from 'node:events'
import { type IncomingMessage, request, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { createApp, createLogger } from '@knowalledge/service-kit'
import t, { type Test } from 'tap'
import { limitEachAddress } from '../../src/admission/in-flight.ts'
import { bearer, doorForTest } from '../auth/fixtures.ts'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

const path = '/api/subtopics?topic=Light'
const upload = (bytes: number) =>
  `POST /api/image2topic HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${bytes}\r\n\r\n--b`

/** Before services that answer when the test says so; vision reads no body until then. */
async function gatewayBeforeWaiting(t: Test, env: Record<string, string>) {
  const waiting: ServerResponse[] = []
  const service = await serviceForTest(t, (_request, response) => void waiting.push(response))
  const gateway = await gatewayForTest(t, { TEXT_GENERATION_URL: service, VISION_URL: service, ...env })
  const arrived = async (count: number) => {
    while (waiting.length < count) await new Promise(setImmediate)
  }
  return { ...gateway, waiting, arrived }
}

function connectForTest(t: Test, url: string, bytes: string): Socket {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('latin1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => {}) // a reset: the close that follows is what counts
  socket.write(bytes)
  return socket
}

async function received(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (piece) => {
    text += piece
  })
  await once(socket, 'close')
  return text
}

async function statusFrom(url: string, localAddress: string): Promise<number | undefined> {
  const asked = request(url, { localAddress }).end()
  const [reply] = (await once(asked, 'response')) as [IncomingMessage]
  reply.resume()
  return reply.statusCode
}

t.test('one address has at most MAX_IN_FLIGHT_PER_ADDRESS on any route; others have theirs', async (t) => {
  const { url, waiting, arrived } = await gatewayBeforeWaiting(t, { MAX_IN_FLIGHT_PER_ADDRESS: '2' })
  const first = fetch(url + path)
  connectForTest(t, url, upload(1_000_000)) // never to arrive
  await arrived(2)
  for (const refusedPath of [path, '/api/quota/stats', '/docs/', '/nothing']) {
    const refused = await fetch(url + refusedPath)
    t.equal(refused.status, 429, refusedPath)
    t.equal(refused.headers.get('retry-after'), '1')
    t.match(await refused.json(), { error: 'rate_limited', message: /at most 2 for each address/ })
  }
  t.equal((await fetch(`${url}/health`)).status, 200, 'probes are not counted')
  t.equal(await statusFrom(`${url}/api/quota/stats`, '127.0.0.2'), 200)
  waiting[0]?.end('{}')
  t.equal((await first).status, 200)
  t.equal((await fetch(`${url}/api/quota/stats`)).status, 200)
})

t.test('one key has at most MAX_IN_FLIGHT_PER_CLIENT, and another key of the same address its own', async (t) => {
  const { url, makeKey } = await doorForTest(t, { env: { MAX_IN_FLIGHT_PER_CLIENT: '1' } })
  const [one, other] = [(await makeKey()).secret, (await makeKey()).secret]
  const held = request(`${url}/api/create_subtopics`, { method: 'POST', headers: bearer(one) })
  held.on('error', () => {})
  t.teardown(() => held.destroy())
  held.write('{')
  const status = async (key: string) => (await fetch(url + path, { headers: bearer(key) })).status
  while ((await status(one)) !== 429);
  t.equal(await status(other), 200)
  held.end('}')
  while ((await status(one)) !== 200);
})

t.test('uploads that still arrive take no place from those that services can work on', async (t) => {
  const { url, waiting } = await gatewayBeforeWaiting(t, { MAX_IN_FLIGHT: '1' })
  for (const bytes of [1_000, 1_000, 1_000_000, 1_000_000]) connectForTest(t, url, upload(bytes))
  while (waiting.length < 2) await new Promise(setImmediate) // those that are streamed
  const asked = fetch(url + path)
  while (waiting.length < 3) await new Promise(setImmediate)
  waiting[2]?.end('{}')
  t.equal((await asked).status, 200)
})

t.test('an upload that has arrived when every place is taken is a 503, and its service is told', async (t) => {
  const { url, waiting, arrived } = await gatewayBeforeWaiting(t, { MAX_IN_FLIGHT: '1' })
  const socket = connectForTest(t, url, upload(100_000))
  await arrived(1)
  const asked = fetch(url + path)
  await arrived(2)
  const brokenOff = once(waiting[0] as ServerResponse, 'close')
  waiting[0]?.req.resume()
  socket.write('x'.repeat(99_997))
  const [answer] = await once(socket, 'data')
  t.match(answer, /^HTTP\/1.1 503 [\s\S]*"error":"overloaded"/)
  await brokenOff
  waiting[1]?.end('{}')
  t.equal((await asked).status, 200)
  const next = fetch(url + path)
  await arrived(3)
  waiting[2]?.end('{}')
  t.equal((await next).status, 200, 'no place is lost')
})

t.test(
  'who sends too slowly gets a 408, who reads too slowly is cut, and neither has to wait for a service',
  async (t) => {
    const { url, waiting, arrived, logged } = await gatewayBeforeWaiting(t, { MIN_BYTES_PER_SECOND: '32768' })
    const patient = fetch(`${url}/api/image2topic`, { method: 'POST', body: new Uint8Array(5_000_000) })
    await arrived(1) // and it reads nothing
    const sender = connectForTest(t, url, upload(1_000_000))
    const dripping = setInterval(() => sender.write('x'), 100)
    t.match(await received(sender), /^HTTP\/1.1 408 [\s\S]*"error":"request_timeout"/)
    clearInterval(dripping)

    const reader = connectForTest(t, url, `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).pause()
    await arrived(3)
    const brokenOff = once(waiting[2] as ServerResponse, 'close')
    waiting[2]?.write(Buffer.alloc(50_000_000))
    await brokenOff
    reader.resume()
    const answer = await received(reader)
    t.match(answer, /^HTTP\/1.1 200 /)
    t.ok(answer.length < 50_000_000)
    t.match(
      logged.filter(({ too_slow }) => too_slow).map(({ operation }) => operation),
      ['image2topic', 'create_subtopics'],
    )

    waiting[0]?.req.resume()
    waiting[0]?.req.once('end', () => waiting[0]?.end('{}'))
    t.equal((await patient).status, 200)
  },
)

t.test('a plugin that is registered before one that it depends on stops the start', async (t) => {
  const app = await createApp({ service: 'test', logger: createLogger({ level: 'silent', pretty: false }) })
  t.teardown(() => app.close())
  const limits = { MAX_IN_FLIGHT_PER_ADDRESS: 1, MAX_IN_FLIGHT_PER_CLIENT: 1, MIN_BYTES_PER_SECOND: 0 }
  await t.rejects(async () => await app.register(limitEachAddress, limits), /dependency 'client-address'/)
})
