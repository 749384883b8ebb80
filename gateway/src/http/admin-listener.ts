import { once } from 'node:events'
import { createServer, IncomingMessage } from 'node:http'
import type { App } from '@knowalledge/service-kit'
import fp from 'fastify-plugin'

/** How a request that came in by the admin port is known. */
class AdminRequest extends IncomingMessage {}

const adminPaths = /^\/(metrics|ops|docs|openapi\.json|api\/admin)(\/|$)/
const keepAliveTimeoutMs = 5_000

/** Makes the routes for operators exist on the admin port only. Call it before the first of them is registered. */
export function confineAdminRoutes(app: App): void {
  app.addConstraintStrategy({
    name: 'door',
    storage: () => {
      const handlers = new Map()
      return { get: (door) => handlers.get(door) ?? null, set: (door, handler) => void handlers.set(door, handler) }
    },
    deriveConstraint: (request) => (request instanceof AdminRequest ? 'admin' : undefined),
  })
  app.addHook('onRoute', (route) => {
    if (adminPaths.test(route.url)) route.constraints = { ...route.constraints, door: 'admin' }
  })
}

/** A second listener of the same app, with its hooks and limits, open as long as the app is. A taken port rejects `ready`. */
export const adminListener = fp<{ host: string; port: number }>(
  async (app, { host, port }) => {
    const server = createServer({ IncomingMessage: AdminRequest }, (request, reply) => app.routing(request, reply))
    for (const listener of app.server.listeners('clientError')) server.on('clientError', listener as () => void)
    app.addHook('onReady', async () => {
      const { headersTimeout, requestTimeout } = app.server
      Object.assign(server, { headersTimeout, requestTimeout, keepAliveTimeout: keepAliveTimeoutMs })
      server.listen(port, host)
      await once(server, 'listening')
      app.log.info(`Server listening for admins at http://${host}:${port}`)
    })
    app.addHook('onClose', async () => {
      if (!server.listening) return
      server.close()
      server.closeIdleConnections()
      await once(server, 'close')
    })
  },
  { name: 'admin-listener' },
)
