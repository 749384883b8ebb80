import { once } from 'node:events'
import { type ClientRequest, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { gatewayForTest, type LogLine, serviceForTest } from '../fixtures.ts'

const mebibyte = 1024 * 1024

/** A service whose exchanges the test conducts by itself. */
async function conductedForTest(t: Test) {
  const exchange = Promise.withResolvers<{ request: IncomingMessage; response: ServerResponse }>()
  const url = await serviceForTest(t, (request, response) => exchange.resolve({ request, response }))
  return { url, exchange: exchange.promise }
}

/** An upload that the test writes by itself. */
function upload(gateway: string, headers: Record<string, string | number> = {}): ClientRequest {
  const request = httpRequest(`${gateway}/api/image2topic`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=x', ...headers },
  })
  return request.on('error', () => {}) // a test that needs an answer waits for it
}

async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error('in vain')
    await sleep(10)
  }
}

t.test('the first bytes of an upload are at the service before the last are sent', async (t) => {
  const { url: VISION_URL, exchange } = await conductedForTest(t)
  const { url } = await gatewayForTest(t, { VISION_URL })
  const sending = upload(url)
  sending.write('first')
  const { request, response } = await exchange
  const [chunk] = await once(request, 'data')
  t.equal(String(chunk), 'first')
  sending.end(' and last')
  const [rest] = await once(request, 'data')
  t.equal(String(rest), ' and last')
  response.end('{}')
  const [answer] = await once(sending, 'response')
  t.equal(answer.statusCode, 200)
  answer.resume()
})

t.test('uploads wait for a service that does not read: they are not gathered in memory', async (t) => {
  const arrived: IncomingMessage[] = []
  const VISION_URL = await serviceForTest(t, async (request, response) => {
    arrived.push(request)
    await mayRead.promise
    let received = 0
    for await (const chunk of request) received += chunk.length
    response.end(String(received))
  })
  const mayRead = Promise.withResolvers<void>()
  const { url } = await gatewayForTest(t, { VISION_URL })
  const [count, size] = [24, 10 * mebibyte]
  const before = process.memoryUsage().arrayBuffers
  const part = Buffer.alloc(64 * 1024)
  let written = 0
  const answers = Array.from({ length: count }, () => {
    const sending = upload(url, { 'content-length': size })
    let left = size
    const write = () => {
      while (left > 0) {
        left -= part.length
        written += part.length
        if (!sending.write(part)) return void sending.once('drain', write)
      }
      sending.end()
    }
    write()
    return once(sending, 'response') as Promise<[IncomingMessage]>
  })
  await until(() => arrived.length === count)
  await stalls(() => written)
  const gathered = process.memoryUsage().arrayBuffers - before
  // What is under way otherwise lies in the buffers of the sockets, and is the kernel's.
  t.ok(gathered < (count * size) / 4, `${gathered / mebibyte} MiB in memory of ${(count * size) / mebibyte} sent`)
  mayRead.resolve()
  for (const [answer] of await Promise.all(answers)) t.equal(await text(answer), String(size))
})

t.test('events pass as they come: the head before the first, the first before the second', async (t) => {
  const { url: TEXT_GENERATION_URL, exchange } = await conductedForTest(t)
  const { url } = await gatewayForTest(t, { TEXT_GENERATION_URL })
  const asked = fetch(`${url}/api/subtopics?topic=Light`)
  const { response } = await exchange
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' }).flushHeaders()
  const answer = await asked
  t.equal(answer.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  t.ok(answer.headers.has('x-request-id'))
  const reader = answer.body?.getReader()
  for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
    response.write(event)
    t.equal(Buffer.from((await reader?.read())?.value ?? []).toString(), event)
  }
  response.end()
  t.same(await reader?.read(), { done: true, value: undefined })
})

const worst = (logged: LogLine[]) => Math.max(...logged.map(({ level }) => level))
const info = 30

t.test('a client that goes away while it waits cancels its request, and that is no error', async (t) => {
  for (const method of ['GET', 'POST']) {
    const { url: TEXT_GENERATION_URL, exchange } = await conductedForTest(t)
    const { url, logged } = await gatewayForTest(t, { TEXT_GENERATION_URL })
    const path = method === 'GET' ? '/api/subtopics?topic=Light' : '/api/create_subtopics'
    const leaving = httpRequest(url + path, { method }).on('error', () => {})
    leaving.end(method === 'POST' ? '{"topic":"Light"}' : undefined)
    const { request, response } = await exchange
    request.resume()
    leaving.destroy()
    await once(response, 'close')
    t.notOk(response.writableFinished, `${method}: the service sees its request closed`)
    await until(() => logged.some(({ msg }) => msg === 'the client went away'))
    t.equal(worst(logged), info, method)
    t.equal(logged.filter(({ msg }) => msg === 'the client went away').length, 1, `${method}: one line`)
  }
})

t.test('a client that goes away in the middle of an answer, or of its upload, cancels it', async (t) => {
  const streaming = await conductedForTest(t)
  const uploading = await conductedForTest(t)
  const { url, logged } = await gatewayForTest(t, { TEXT_GENERATION_URL: streaming.url, VISION_URL: uploading.url })
  const leaving = httpRequest(`${url}/api/subtopics?topic=Light`).on('error', () => {})
  leaving.end()
  const { response } = await streaming.exchange
  response.write('the beginning of an answer')
  const [answer] = await once(leaving, 'response')
  await once(answer, 'data')
  answer.destroy()
  await once(response, 'close')
  t.notOk(response.writableFinished)

  const sending = upload(url, { 'content-length': mebibyte })
  sending.write('first')
  const { request } = await uploading.exchange
  await once(request, 'data')
  sending.destroy()
  await t.rejects(text(request), 'the service sees its request broken off')
  await until(() => logged.filter(({ msg }) => msg === 'the client went away').length === 2)
  t.equal(worst(logged), info)
})

t.test('an upload that the service refuses before all of it has come is told why', async (t) => {
  const VISION_URL = await serviceForTest(t, (request, response) => {
    request.once('data', () => response.writeHead(413).end('{"error":"payload_too_large"}'))
  })
  const { url, logged } = await gatewayForTest(t, { VISION_URL })
  for (let n = 0; n < 5; n++) {
    const size = 10 * mebibyte
    const sending = upload(url, { 'content-length': size })
    sending.end(Buffer.alloc(size))
    const [answer] = (await once(sending, 'response')) as [IncomingMessage]
    t.equal(answer.statusCode, 413)
    t.equal(await text(answer), '{"error":"payload_too_large"}')
  }
  t.notOk(logged.some(({ msg }) => msg === 'the client went away'))
})

t.test('an upload whose service breaks off is a 503, and the client that sends it hears so', async (t) => {
  const VISION_URL = await serviceForTest(t, (request) => void request.once('data', () => request.socket.destroy()))
  const { url, logged } = await gatewayForTest(t, { VISION_URL })
  for (let n = 0; n < 5; n++) {
    const size = 10 * mebibyte
    const sending = upload(url, { 'content-length': size })
    sending.end(Buffer.alloc(size))
    const [answer] = (await once(sending, 'response')) as [IncomingMessage]
    t.equal(answer.statusCode, 503)
    t.match(JSON.parse(await text(answer)), { error: 'service_unavailable' })
  }
  t.notOk(logged.some(({ msg }) => msg === 'the client went away'))
})

/** Until a figure has not changed for half a second. */
async function stalls(figure: () => number): Promise<void> {
  for (let seen = -1, since = Date.now(); Date.now() - since < 500; await sleep(20)) {
    if (figure() === seen) continue
    seen = figure()
    since = Date.now()
  }
}

t.test('a stream of events takes no place in flight: clients may wait in line for minutes', async (t) => {
  const TEXT_GENERATION_URL = await serviceForTest(t, ({ headers }, response) => {
    if (headers.accept !== 'text/event-stream') return void response.end('{}')
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('event: waiting\ndata: {}\n\n')
  })
  const { url } = await gatewayForTest(t, { TEXT_GENERATION_URL, MAX_IN_FLIGHT: '1' })
  const leaving = new AbortController()
  const post = (headers: Record<string, string> = {}) =>
    fetch(`${url}/api/create_subtopics`, {
      method: 'POST',
      body: '{}',
      signal: leaving.signal,
      headers: { 'content-type': 'application/json', ...headers },
    })
  for (const _ of [1, 2, 3]) {
    const stream = await post({ accept: 'text/event-stream' })
    t.equal(stream.status, 200)
    t.ok((await stream.body?.getReader().read())?.value)
  }
  t.equal((await post()).status, 200)
  t.equal((await post()).status, 200, 'and its end gives no place back twice')
  leaving.abort() // the gateway closes when its last request is over
})
