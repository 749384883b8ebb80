import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { type App, HttpError } from '@knowalledge/service-kit'
import t from 'tap'
import { Forwarder, forClient } from '../../src/proxy/forwarder.ts'
import { LoadBalancer } from '../../src/proxy/load-balancer.ts'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

t.test(
  'a client that leaves before its request is looked at has no address, and that is no fault of ours',
  async (t) => {
    /** As Node has it once the socket is destroyed. */
    const prepare = ({ server }: App) => {
      server.prependListener('request', ({ socket }: IncomingMessage) => {
        Object.defineProperty(socket, 'remoteAddress', { value: undefined })
      })
    }
    const { url, logged } = await gatewayForTest(t, { RATE_LIMIT_PER_MINUTE: '5' }, { prepare })
    for (const headers of [{}, { 'x-api-key': 'wrong' }] as Record<string, string>[]) {
      t.equal((await fetch(`${url}/api/subtopics?topic=Light`, { headers })).status, 503, 'as there is no service')
      t.equal((await fetch(`${url}/nothing`, { headers })).status, 404)
    }
    t.notOk(logged.some(({ error }) => error === 'internal_error'))
  },
)

t.test('a client that has left while its body was read is not asked for', async (t) => {
  let calls = 0
  const service = await serviceForTest(t, (_request, response) => {
    calls++
    response.end('{}')
  })
  const balancer = new LoadBalancer({ name: 'vision', urls: [service], timeoutMs: 5_000 })
  t.teardown(() => balancer.destroy())
  const sender = new Forwarder({ maxInFlight: 0, shed: () => new HttpError('overloaded', 'Full.') }).to(balancer)
  const ask = (client: PassThrough) =>
    new Promise<void>((resolve) => {
      const headers = forClient({ raw: client } as never, {})
      sender.request({ path: '/', method: 'GET', headers }, () => resolve())
    })
  const gone = new PassThrough()
  gone.destroy()
  await once(gone, 'close')
  void ask(gone)
  await ask(new PassThrough())
  t.equal(calls, 1)
})
