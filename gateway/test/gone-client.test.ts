import type { IncomingMessage } from 'node:http'
import type { App } from '@knowalledge/service-kit'
import t from 'tap'
import { gatewayForTest } from './fixtures.ts'

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
