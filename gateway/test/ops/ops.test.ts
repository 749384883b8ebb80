import { gatewaySecretHeader } from '@knowalledge/generation/gateway-headers'
import { freePort } from '@knowalledge/testing'
import type { OpsState } from '@knowalledge/web/ops-state'
import t, { type Test } from 'tap'
import { bearer, doorForTest, gatewaySecret } from '../auth/fixtures.ts'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

const token = 'a-token-of-the-test'

/** The first event of `/ops/events`. */
async function stateAt(t: Test, url: string, headers: Record<string, string> = {}): Promise<OpsState> {
  const leaving = new AbortController()
  t.teardown(() => leaving.abort())
  const reply = await fetch(`${url}/ops/events`, { headers, signal: leaving.signal })
  if (reply.status !== 200) throw new Error(`${reply.status} ${await reply.text()}`)
  t.equal(reply.headers.get('content-type'), 'text/event-stream')
  let text = ''
  for await (const chunk of reply.body ?? []) {
    text += Buffer.from(chunk).toString()
    if (text.includes('\n\n')) break
  }
  return JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? '')
}

const snapshot = {
  service: 'text-generation',
  version: '9.9.9',
  uptimeSeconds: 5,
  memoryBytes: 1,
  eventLoopDelayMs: 1,
  counts: { cache: { memory: 3 }, gemini: [], refused: {} },
  faults: [],
  waiting: [],
  clients: [{ client: 'tenant school-a', questions: 1, failed: 0, geminiCalls: 1, tokens: 5, lastAtMs: 1 }],
}

t.test('shows the instances that answer and those that do not', async (t) => {
  const service = await serviceForTest(t, (request, reply) => {
    const isSnapshot = request.url === '/api/ops/snapshot'
    reply.writeHead(isSnapshot ? 200 : 404, { 'content-type': 'application/json' })
    reply.end(isSnapshot ? JSON.stringify(snapshot) : '{}')
  })
  const older = await serviceForTest(t, (_request, reply) => reply.writeHead(404).end('{}'))
  const { url, dead } = await gatewayForTest(t, { TEXT_GENERATION_URL: `${service},${older}` })
  const state = await stateAt(t, url)
  t.match(state.instances, [
    { service: 'gateway', isUp: true },
    { service: 'text-generation', url: service, isUp: true, version: '9.9.9' },
    { service: 'text-generation', url: older, isUp: false },
    { service: 'vision', url: dead, isUp: false },
    { service: 'image-generation', url: dead, isUp: false },
  ])
  t.match(state.pools, [{ name: 'test', limits: [{ name: 'rpm', limit: 15, free: 15 }] }])
  t.equal(state.cache.memory, 3)
  t.match(state.clients, [{ client: 'tenant school-a' }], 'with AUTH=off clients are shown')
})

t.test('with AUTH=required clients are shown to whoever sends ADMIN_TOKEN', async (t) => {
  const secrets: unknown[] = []
  const service = await serviceForTest(t, (request, reply) => {
    secrets.push(request.headers[gatewaySecretHeader])
    reply.writeHead(200, { 'content-type': 'application/json' })
    reply.end(JSON.stringify(snapshot))
  })
  const { url } = await doorForTest(t, { env: { ADMIN_TOKEN: token, TEXT_GENERATION_URL: service } })
  t.match(await stateAt(t, url), { clients: null, needsToken: true })
  t.match(await stateAt(t, url, bearer(token)), { clients: [{ client: 'tenant school-a' }] })
  t.match(secrets[0], gatewaySecret, 'the service knows that it is the gateway')
  const wrong = await fetch(`${url}/ops/events`, { headers: bearer('another-token-of-the-test') })
  t.equal(wrong.status, 401)
  t.match(await wrong.json(), { error: 'unauthorized' })
})

t.test('without ADMIN_TOKEN a header shows nothing', async (t) => {
  const { url } = await doorForTest(t)
  t.match(await stateAt(t, url, bearer(token)), { clients: null, needsToken: false })
})

t.test('with ADMIN_PORT the page, its events and the runbook are on that port only', async (t) => {
  const port = await freePort()
  const { url } = await gatewayForTest(t, { ADMIN_PORT: String(port), HOST: '127.0.0.1' })
  for (const path of ['/ops', '/ops/events', '/ops/runbook']) {
    t.equal((await fetch(url + path)).status, 404, path)
    const reply = await fetch(`http://127.0.0.1:${port}${path}`)
    t.equal(reply.status, 200, path)
    await reply.body?.cancel()
  }
  const runbook = await (await fetch(`http://127.0.0.1:${port}/ops/runbook`)).text()
  t.match(runbook, '<h2 id="quotaonhold">QuotaOnHold</h2>')
})

t.test('closing the gateway ends the events', async (t) => {
  const { url, app } = await gatewayForTest(t)
  const reply = await fetch(`${url}/ops/events`)
  const read = reply.text().then(
    () => 'ended',
    () => 'broken off',
  )
  await app.close()
  t.match(await read, /ended|broken off/)
})
