import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { freePort, processForTest } from '@knowalledge/testing'
import { Validator } from '@seriousme/openapi-schema-validator'
import t, { type Test } from 'tap'
import { fleetForTest, post } from './fleet.ts'
import { type Answer, documentedAnswers, type OpenapiDocument, untruths } from './openapi-document.ts'
import { adminToken, type Door, type Situation, situations } from './openapi-situations.ts'

const env = {
  ADMIN_TOKEN: adminToken,
  QUOTA_RPM: '1000',
  EMULATOR_RPM: '1000',
  GEMINI_TIMEOUT_MS: '2500',
  UPSTREAM_TIMEOUT_MS: '5000',
}

t.test('OpenAPI tells the truth: every route and every status, against real answers', async (t) => {
  const fleet = await fleetForTest(t, { env })
  const published = await (await fetch(`${fleet.gateway.url}/openapi.json`)).text()
  const document = JSON.parse(published) as OpenapiDocument
  t.match(await new Validator().validate(JSON.parse(published)), { valid: true }, 'it is OpenAPI')
  t.match(document, { openapi: /^3\.1\./ })

  const drawn = await post(`${fleet.gateway.url}/api/generate_image`, { prompt: 'Light' })
  const table = Object.entries(await situations(String(drawn.body.url))).flatMap(([operation, answers]) =>
    Object.entries(answers).map(([status, situation]) => ({ operation, status: Number(status), situation })),
  )
  t.strictSame(
    table.map(({ operation, status }) => `${operation} ${status}`).toSorted(),
    documentedAnswers(document).toSorted(),
    'each documented answer has its situation, and each situation is documented',
  )

  const doors = { ...(await failingDoors(t)), fleet: fleet.gateway.url, paused: fleet.gateway.url }
  const see = async ({ operation, status, situation }: (typeof table)[number]) => {
    if (situation.fault) await post(`${fleet.emulator.url}/emulator/faults`, { kind: situation.fault })
    const answer = await ask(doors, operation, situation)
    await fetch(`${fleet.emulator.url}/emulator/faults`, { method: 'DELETE' })
    t.equal(answer.status, status, `${operation} ${status}`)
    t.strictSame(untruths(document, operation, answer), [], `${operation} ${status} is as documented`)
  }
  for (const row of table.filter(({ situation }) => situation.at !== 'paused')) await see(row)
  await post(`${fleet.emulator.url}/emulator/faults`, { kind: '429_rpm', retryDelay: '60s' })
  await post(`${fleet.gateway.url}/api/create_subtopics`, { topic: 'Whoever asks first is told to wait' })
  for (const row of table.filter(({ situation }) => situation.at === 'paused')) await see(row)
})

t.test('what no route documents has the one shape all the same: no such path, no such method', async (t) => {
  const gateway = await processForTest(t, 'gateway/src/server.ts', { env: { REDIS_ENABLED: 'false' } })
  for (const [method, path, status, error] of [
    ['GET', '/api/nowhere', 404, 'not_found'],
    ['DELETE', '/api/create_subtopics', 405, 'method_not_allowed'],
  ] as const) {
    const reply = await fetch(gateway.url + path, { method })
    t.equal(reply.status, status)
    t.match(await reply.json(), { error, message: /\.$/ })
    t.ok(reply.headers.get('x-request-id'))
  }
})

/** A path with parameters is given whole, a query is appended. */
async function ask(doors: Record<Door, string>, operation: string, situation: Situation): Promise<Answer> {
  const { path = '', send = {}, at = 'fleet' } = situation
  const [method = '', route] = operation.split(' ')
  const reply = await fetch(doors[at] + (path.startsWith('/') ? path : route + path), { method, ...send })
  return { status: reply.status, headers: reply.headers, body: await reply.text() }
}

/** Gateways that nobody serves well; the dead one's Redis is dead as well. */
async function failingDoors(t: Test): Promise<Record<'dead' | 'silent' | 'nonsense', string>> {
  const nowhere = `127.0.0.1:${await freePort()}`
  const silent = await serverForTest(t, (socket) => socket.resume())
  const nonsense = await serverForTest(t, (socket) => socket.end('This is no HTTP.\r\n\r\n'))
  const [dead, late, wild] = await Promise.all([gatewayBefore(nowhere), gatewayBefore(silent), gatewayBefore(nonsense)])
  return { dead, silent: late, nonsense: wild }

  async function gatewayBefore(address: string): Promise<string> {
    const service = `http://${address}`
    const services = { TEXT_GENERATION_URL: service, VISION_URL: service, IMAGE_GENERATION_URL: service }
    const redis = address === nowhere ? { REDIS_URL: `redis://${nowhere}` } : { REDIS_ENABLED: 'false' }
    const more = { ...redis, UPSTREAM_TIMEOUT_MS: '1000', LOG_LEVEL: 'silent' }
    return (await processForTest(t, 'gateway/src/server.ts', { env: { ...env, ...services, ...more } })).url
  }
}

async function serverForTest(t: Test, onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}) // the gateway gives up as it likes
    onConnection(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}
