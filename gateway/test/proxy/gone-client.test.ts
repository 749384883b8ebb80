import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { type App, HttpError } from '@knowalledge/service-kit'
import t from 'tap'
import { Sending } from '../../src/proxy/sending.ts'
import { createUpstreams } from '../../src/proxy/upstreams.ts'
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
  const urls = { TEXT_GENERATION_URL: service, VISION_URL: service, IMAGE_GENERATION_URL: service }
  const sending = new Sending({ timeoutMs: 5_000, maxInFlight: 0, shed: () => new HttpError('overloaded', 'Full.') })
  t.teardown(() => sending.close())
  const send = sending.to(createUpstreams(urls).all.vision).request as unknown as (
    options: { path: string; method: string; headers: object },
    answered: () => void,
  ) => void
  const ask = (client: PassThrough) =>
    new Promise<void>((resolve) => {
      sending.forClient({ raw: client } as never, () => send({ path: '/', method: 'GET', headers: {} }, resolve))
    })
  const gone = new PassThrough()
  gone.destroy()
  await once(gone, 'close')
  void ask(gone)
  await ask(new PassThrough())
  t.equal(calls, 1)
})
