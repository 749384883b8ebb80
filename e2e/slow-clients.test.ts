import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { processForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { upstreamForTest } from './edge-upstream.ts'

/** A gateway with the limits that are shipped, before a service that answers everything. */
async function gatewayForTest(t: Test) {
  const service = await upstreamForTest(t, (request, reply) => {
    request.resume()
    request.once('end', () => reply.writeHead(200, { 'content-type': 'application/json' }).end('{}'))
  })
  return await processForTest(t, 'gateway/src/server.ts', {
    env: {
      TEXT_GENERATION_URL: service.url,
      VISION_URL: service.url,
      IMAGE_GENERATION_URL: service.url,
      REDIS_ENABLED: 'false',
      LOG_LEVEL: 'warn',
      DRAIN_MS: '0',
      MAX_EVENT_LOOP_DELAY_MS: '0', // the machine has other things to do
    },
  })
}

/** 256 connections that send this, read nothing and stay. */
async function slowClients(t: Test, url: string, bytes: string, addresses: string[]) {
  const sockets: Socket[] = []
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (let n = 0; n < 256; n++) {
    const localAddress = addresses[n % addresses.length] as string
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), localAddress }).pause()
    socket.on('error', () => {})
    sockets.push(socket)
    await once(socket, 'connect')
    socket.write(bytes)
  }
}

async function statusFor(url: string, localAddress: string): Promise<number | undefined> {
  const asked = request(url, { localAddress }).end()
  const [reply] = (await once(asked, 'response')) as [IncomingMessage]
  reply.resume()
  return reply.statusCode
}

const slow = {
  uploads: `POST /api/image2topic HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=b\r\ncontent-length: 9000000\r\n\r\n--b\r\n`,
  questions: `POST /api/create_subtopics HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9000\r\n\r\n{`,
  'readers of the docs': 'GET /docs/static/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n'.repeat(3),
}

for (const [what, bytes] of Object.entries(slow)) {
  t.test(`256 slow ${what} keep nobody else out, whether of one address or of three`, async (t) => {
    const { url } = await gatewayForTest(t)
    await slowClients(t, url, bytes, ['127.0.0.1'])
    const learner = '127.0.0.9'
    t.equal(await statusFor(`${url}/api/subtopics?topic=Light`, learner), 200)
    await slowClients(t, url, bytes, ['127.0.0.2', '127.0.0.3', '127.0.0.4'])
    t.equal(await statusFor(`${url}/api/subtopics?topic=Light`, learner), 200)
    t.equal(await statusFor(`${url}/docs/`, learner), 200)
  })
}
