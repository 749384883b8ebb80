import { once } from 'node:events'
import { connect } from 'node:net'
import { createApp, createLogger, errorHandling } from '@knowalledge/service-kit'
import t, { type Test } from 'tap'
import { bodyLimits } from '../../src/admission/body-limits.ts'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

const mebibyte = 1024 * 1024
const form = { 'content-type': 'multipart/form-data; boundary=x' }

/** A gateway before a service that says how many bytes arrived, and knows of those that broke off. */
async function boundedForTest(t: Test) {
  const arrived: string[] = []
  const brokenOff: string[] = []
  const service = await serviceForTest(t, async (request, response) => {
    arrived.push(request.url ?? '')
    let bytes = 0
    try {
      for await (const chunk of request) bytes += chunk.length
      response.end(String(bytes))
    } catch {
      brokenOff.push(request.url ?? '')
    }
  })
  const gateway = await gatewayForTest(t, { TEXT_GENERATION_URL: service, VISION_URL: service })
  return { ...gateway, arrived, brokenOff }
}

const bounds: [path: string, bytes: number, message: RegExp, headers: Record<string, string>][] = [
  ['/api/create_subtopics', 256 * 1024, /at most 256 KiB/, {}],
  ['/api/create_presentation', 256 * 1024, /at most 256 KiB/, {}],
  ['/api/image2topic', 11 * mebibyte, /at most 10 MiB/, form],
]

t.test('a body of the bound passes and a byte more is a 413, at once by its length', async (t) => {
  const { post } = await boundedForTest(t)
  for (const [path, bytes, message, headers] of bounds) {
    t.equal(await (await post(path, new Uint8Array(bytes), headers)).text(), String(bytes), path)
    const refused = await post(path, new Uint8Array(bytes + 1), headers)
    t.equal(refused.status, 413, path)
    t.match(await refused.json(), { error: 'payload_too_large', message })
  }
})

t.test(
  'a body in chunks ends where it goes beyond the bound, for the service too, and the connection goes on',
  async (t) => {
    const { url, brokenOff } = await boundedForTest(t)
    for (const [path, bytes, message] of bounds) {
      const exchange = await exchangeForTest(t, url)
      const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n`
      exchange.send(`${head}Content-Type: multipart/form-data; boundary=x\r\n\r\n${chunk(bytes)}0\r\n\r\n`)
      t.match(await exchange.answers(1), new RegExp(`\r\n\r\n${bytes}$`))
      exchange.send(`${head}\r\n${chunk(bytes)}${chunk(1)}`)
      const refused = await exchange.answers(2)
      t.match(refused, /HTTP\/1.1 413 /)
      t.match(refused, message)
      t.match(refused, '"error":"payload_too_large"')
      exchange.send('0\r\n\r\nGET /api/quota/stats HTTP/1.1\r\nHost: x\r\n\r\n')
      t.match(await exchange.answers(3), /HTTP\/1.1 200 OK[\s\S]*"per_minute"/)
    }
    t.same(
      brokenOff,
      bounds.map(([path]) => path),
    )
  },
)

t.test('a client that leaves in the middle of a body in chunks takes the service’s request along', async (t) => {
  const { url, arrived, brokenOff } = await boundedForTest(t)
  const exchange = await exchangeForTest(t, url)
  exchange.send(`POST /api/create_subtopics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(10)}`)
  while (arrived.length === 0) await new Promise(setImmediate)
  exchange.socket.destroy()
  while (brokenOff.length === 0) await new Promise(setImmediate)
  t.same(brokenOff, ['/api/create_subtopics'])
})

t.test('too many headers, or too long ones, are a 431 and not dropped without a word', async (t) => {
  const { url } = await gatewayForTest(t)
  const get = async (headers: string) => {
    const exchange = await exchangeForTest(t, url)
    exchange.send(`GET /api/quota/stats HTTP/1.1\r\nHost: x\r\n${headers}\r\n`)
    return await exchange.answers(1)
  }
  const headers = (count: number) => Array.from({ length: count }, (_, n) => `x-${n}: y\r\n`).join('')
  t.match(await get(headers(99)), /^HTTP\/1.1 200 /)
  t.match(await get(headers(100)), /^HTTP\/1.1 431 [\s\S]*"headers_too_large"/)
  t.match(await get(`x: ${'y'.repeat(16 * 1024)}\r\n`), /^HTTP\/1.1 431 [\s\S]*"headers_too_large"/)
})

t.test('who goes on sending after the answer is cut off in the end', async (t) => {
  const app = await createApp({
    service: 'test',
    logger: createLogger({ level: 'silent', pretty: false }),
    answersEarly: true,
  })
  await app.register(errorHandling)
  await app.register(bodyLimits, { lingerMs: 200 })
  t.teardown(() => app.close())
  const exchange = await exchangeForTest(t, await app.listen({ host: '127.0.0.1', port: 0 }))
  exchange.socket.on('error', () => {}) // it is reset: that is what is asked here
  exchange.send('POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n')
  t.match(await exchange.answers(1), /^HTTP\/1.1 404 /)
  const sending = setInterval(() => exchange.send('x'.repeat(1000)), 20)
  await once(exchange.socket, 'close')
  clearInterval(sending)
})

function chunk(bytes: number): string {
  return `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`
}

async function exchangeForTest(t: Test, url: string) {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('latin1')
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  let received = ''
  socket.on('data', (piece) => {
    received += piece
  })
  return {
    socket,
    send: (bytes: string) => void socket.write(bytes, 'latin1'),
    /** Everything received, once so many answers are there with their bodies. */
    async answers(count: number): Promise<string> {
      for (;;) {
        const lengths = [...received.matchAll(/content-length: (\d+)\r\n[\s\S]*?\r\n\r\n/gi)]
        const last = lengths[count - 1]
        if (last && received.length >= last.index + last[0].length + Number(last[1]))
          return received.slice(last.index > 0 ? received.lastIndexOf('HTTP/1.1', last.index) : 0)
        await once(socket, 'data')
      }
    },
  }
}
