import { createApp, createLogger, EnvironmentError, errorHandling, readEnvironment } from '@knowalledge/service-kit'
import t from 'tap'
import { gatewaySecretFaults, readClient, readTenant, requireGateway } from '../src/gateway-headers.ts'
import { serviceSettings } from '../src/index.ts'

const secret = 'a-secret-that-gateway-and-services-share'

async function appForTest() {
  const app = await createApp({ service: 'test', logger: createLogger({ level: 'silent', pretty: false }) })
  await app.register(errorHandling)
  requireGateway(app, secret)
  for (const path of ['/api/client', '/health', '/metrics', '/openapi.json'])
    app.get(path, async (request) => readClient(request, readTenant(request.headers['x-tenant'])))
  return app
}

t.test(
  'a service answers nobody without the secret, whatever tenant is named; probes and figures are open',
  async (t) => {
    const app = await appForTest()
    const forged = { 'x-tenant': 'school-a', 'x-client': 'b', 'x-forwarded-for': '192.0.2.9' }
    for (const given of [undefined, '', secret.slice(1), `${secret}x`, secret.toUpperCase(), 'ä'.repeat(20)]) {
      const headers = { ...forged, ...(given === undefined ? {} : { 'x-gateway-secret': given }) }
      const reply = await app.inject({ url: '/api/client', headers })
      t.equal(reply.statusCode, 401, given ?? 'none')
      t.match(reply.json(), { error: 'unauthorized', message: /GATEWAY_SECRET/ })
      t.notMatch(reply.body, secret)
    }
    const reply = await app.inject({ url: '/api/client', headers: { ...forged, 'x-gateway-secret': secret } })
    t.same(reply.json(), { id: 'tenant school-a', hasOwnLimits: false })
    for (const url of ['/health', '/metrics', '/openapi.json'])
      t.equal((await app.inject({ url })).statusCode, 200, url)
  },
)

t.test('the client is the tenant, else the browser, else the address; of IPv6 its network', async (t) => {
  const app = await appForTest()
  const table: [headers: Record<string, string>, client: object][] = [
    [
      { 'x-tenant': 'school-a;rpm=5', 'x-client': 'b' },
      { id: 'tenant school-a', hasOwnLimits: true },
    ],
    [
      { 'x-client': 'b', 'x-forwarded-for': '192.0.2.9' },
      { id: 'browser b', address: '192.0.2.9' },
    ],
    [{ 'x-forwarded-for': '192.0.2.9' }, { id: 'address 192.0.2.9', address: '192.0.2.9' }],
    [{ 'x-forwarded-for': '::ffff:192.0.2.9' }, { id: 'address 192.0.2.9', address: '192.0.2.9' }],
    [{ 'x-forwarded-for': '2001:db8::1' }, { id: 'address 2001:db8:0:0', address: '2001:db8:0:0' }],
    [{ 'x-forwarded-for': '2001:db8:1:2:3:4:5:6' }, { id: 'address 2001:db8:1:2', address: '2001:db8:1:2' }],
    [{ 'x-forwarded-for': '::1' }, { id: 'address 0:0:0:0', address: '0:0:0:0' }],
    [{}, { id: 'address 127.0.0.1', address: '127.0.0.1' }],
  ]
  for (const [headers, client] of table) {
    const reply = await app.inject({ url: '/api/client', headers: { ...headers, 'x-gateway-secret': secret } })
    t.same(reply.json(), client, JSON.stringify(headers))
  }
  const headers = { 'x-gateway-secret': secret, 'x-client': 'not an id' }
  t.equal((await app.inject({ url: '/api/client', headers })).statusCode, 400)
})

t.test('a service with AUTH=required does not start without the secret', async (t) => {
  const read = (env: Record<string, string>) => readEnvironment(serviceSettings(5001), env, gatewaySecretFaults)
  t.match(read({}), { AUTH: 'off' })
  t.match(read({ AUTH: 'required', GATEWAY_SECRET: secret }), { GATEWAY_SECRET: secret })
  t.throws(() => read({ AUTH: 'required' }), EnvironmentError)
  t.throws(() => read({ AUTH: 'required' }), { message: /GATEWAY_SECRET is required with AUTH=required/ })
  t.throws(() => read({ GATEWAY_SECRET: 'short-and-secret' }), { message: /GATEWAY_SECRET=\(hidden\)/ })
})
