import { setImmediate } from 'node:timers/promises'
import fp from 'fastify-plugin'

/** A connection that was busy when closing began, and is idle since, would stay open until its keep-alive ran out. */
const idleCheckMs = 20

/**
 * Lets a server end without losing anything. While it drains, `/ready` says no and answers close their connection, so
 * that whoever balances load goes elsewhere. Node waits for every open connection: those without a request are closed.
 */
export const closing = fp(
  async (app) => {
    const lifecycle = { draining: false }
    app.decorate('lifecycle', lifecycle)
    let accepted = 0
    app.server.on('connection', () => accepted++)
    app.addHook('preClose', async () => {
      lifecycle.draining = true
      // The port is closed right after this: what still waits to be accepted then would be reset, not refused.
      for (let before = -1; before !== accepted; ) {
        before = accepted
        await setImmediate()
      }
      if (!app.server.listening) return
      const closingIdle = setInterval(() => app.server.closeIdleConnections(), idleCheckMs)
      app.server.once('close', () => clearInterval(closingIdle))
    })
    app.addHook('onSend', async (_request, reply) => {
      if (lifecycle.draining) reply.header('connection', 'close')
    })
  },
  { name: 'closing' },
)

declare module 'fastify' {
  interface FastifyInstance {
    /** Set `draining` some time before `close()`: new requests are still answered, but should go elsewhere. */
    lifecycle: { draining: boolean }
  }
}
