import { once } from 'node:events'
import { createServer } from 'node:net'
import { freePort } from '@knowalledge/testing'
import t from 'tap'
import { gatewayForTest } from '../fixtures.ts'

const token = 'a-token-of-the-test'
const forOperators: [method: string, path: string, status: number][] = [
  ['GET', '/metrics', 200],
  ['GET', '/docs', 200],
  ['GET', '/docs/static/swagger-ui.css', 200],
  ['GET', '/docs/json', 200],
  ['GET', '/openapi.json', 200],
  ['POST', '/api/admin/cache/invalidate', 401],
]

t.test('with ADMIN_PORT what is for operators exists on that port only', async (t) => {
  const port = await freePort()
  const { url } = await gatewayForTest(t, { ADMIN_PORT: String(port), ADMIN_TOKEN: token, HOST: '127.0.0.1' })
  const adminUrl = `http://127.0.0.1:${port}`
  for (const [method, path, status] of forOperators) {
    for (const written of [
      path,
      path.replace('/', '/%2e/../'),
      path.replace(/.$/, (last) => `%${last.charCodeAt(0).toString(16)}`),
    ]) {
      const reply = await fetch(url + written, { method })
      t.equal(reply.status, 404, `${method} ${written} is not there`)
      t.match(await reply.json(), { error: 'not_found' })
    }
    t.equal((await fetch(adminUrl + path, { method })).status, status, path)
  }
  t.equal((await fetch(`${url}/metrics`, { method: 'POST' })).status, 404, 'nor is it said that it is elsewhere')
  for (const probe of ['/health', '/ready', '/api/health', '/api/ready', '/api/quota/stats'])
    for (const door of [url, adminUrl]) t.not((await fetch(door + probe)).status, 404, door + probe)
  t.equal((await fetch(`${url}/api/create_subtopics`)).status, 405)
})

t.test('without ADMIN_PORT everything is on one port', async (t) => {
  const { url } = await gatewayForTest(t, { ADMIN_TOKEN: token })
  for (const [method, path, status] of forOperators) t.equal((await fetch(url + path, { method })).status, status, path)
})

t.test('the admin port closes with the gateway, and one that is taken stops the start', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const env = { ADMIN_PORT: String(port), HOST: '127.0.0.1' }
  await t.rejects(gatewayForTest(t, env), { code: 'EADDRINUSE' })
  taken.close()
  await once(taken, 'close')
  const { app } = await gatewayForTest(t, env)
  t.equal((await fetch(`http://127.0.0.1:${port}/health`)).status, 200)
  await app.close()
  await t.rejects(fetch(`http://127.0.0.1:${port}/health`), 'it refuses connections')
})
