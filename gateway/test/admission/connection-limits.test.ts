import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

const question = 'GET /api/quota/stats HTTP/1.1\r\nHost: x\r\n\r\n'

async function connectForTest(t: Test, url: string, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), localAddress }).setEncoding('latin1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => {}) // refused by a reset: the close that follows is what counts
  await once(socket, 'connect')
  return socket
}

/** What comes back: an answer, or nothing when the connection is closed. */
async function answer(socket: Socket): Promise<string> {
  socket.write(question)
  const [piece] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [''])])
  return piece
}

t.test('a request that drips in is cut with a 408, and so is a connection that says nothing', async (t) => {
  const TEXT_GENERATION_URL = await serviceForTest(t, (request) => void request.resume())
  const { url } = await gatewayForTest(t, {
    TEXT_GENERATION_URL,
    HEADERS_TIMEOUT_MS: '1000',
    REQUEST_TIMEOUT_MS: '1500',
  })
  const starts = [
    '',
    'GET /api/quota/stats HTTP/1.1\r\nHost: ',
    'POST /api/create_subtopics HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n',
  ]
  const startedAt = Date.now()
  const ends = starts.map(async (start) => {
    const socket = await connectForTest(t, url)
    let received = ''
    socket.on('data', (piece) => {
      received += piece
    })
    socket.write(start)
    const dripping = setInterval(() => start !== '' && socket.write('x'), 200)
    await once(socket, 'close')
    clearInterval(dripping)
    return received
  })
  for (const [at, received] of (await Promise.all(ends)).entries()) {
    t.match(received, /^HTTP\/1.1 408 Request Timeout[\s\S]*"error":"request_timeout"/, JSON.stringify(starts[at]))
  }
  t.ok(Date.now() - startedAt < 15_000)
})

t.test('an answer that has begun is broken off and gets no 408 into it', async (t) => {
  const TEXT_GENERATION_URL = await serviceForTest(t, (_request, response) => void response.write('begun'))
  const { url } = await gatewayForTest(t, { TEXT_GENERATION_URL, REQUEST_TIMEOUT_MS: '500' })
  const socket = await connectForTest(t, url)
  socket.write('POST /api/create_subtopics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nx') // too long to be read first
  let received = ''
  for await (const piece of socket) received += piece
  t.match(received, /^HTTP\/1.1 200 [\s\S]*begun/)
  t.notMatch(received, '408')
})

t.test('beyond MAX_CONNECTIONS a connection is closed; when another ends there is room again', async (t) => {
  const { url } = await gatewayForTest(t, { MAX_CONNECTIONS: '2' })
  const [one, two] = [await connectForTest(t, url), await connectForTest(t, url)]
  for (const socket of [one, two]) t.match(await answer(socket), /^HTTP\/1.1 200/)
  t.equal(await answer(await connectForTest(t, url)), '')
  one.destroy()
  let next = ''
  while (next === '') next = await answer(await connectForTest(t, url))
  t.match(next, /^HTTP\/1.1 200/)
})

t.test('one address cannot take all connections, where it is bounded', async (t) => {
  const { url } = await gatewayForTest(t, { MAX_CONNECTIONS_PER_ADDRESS: '2' })
  const [one, two] = [await connectForTest(t, url), await connectForTest(t, url)]
  for (const socket of [one, two]) t.match(await answer(socket), /^HTTP\/1.1 200/)
  t.equal(await answer(await connectForTest(t, url)), '')
  t.match(await answer(await connectForTest(t, url, '127.0.0.2')), /^HTTP\/1.1 200/)
  one.destroy()
  let next = ''
  while (next === '') next = await answer(await connectForTest(t, url))
  t.match(next, /^HTTP\/1.1 200/)
})

t.test('an idle connection outlives the one that nginx keeps', async (t) => {
  const { app } = await gatewayForTest(t)
  t.equal(app.server.keepAliveTimeout, 72_000)
  t.equal(app.server.maxRequestsPerSocket, 10_000)
})
