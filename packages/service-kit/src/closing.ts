import fp from 'fastify-plugin'

/**
 * Lets a closing server end. Node waits for every open connection, and one that was busy when closing began would stay
 * open, idle, until its keep-alive ran out: so it is told to close, and closed once its answer is out.
 */
export const closing = fp(
  async (app) => {
    let isClosing = false
    app.addHook('preClose', async () => {
      isClosing = true
    })
    app.addHook('onSend', async (_request, reply) => {
      if (isClosing) reply.header('connection', 'close')
    })
    app.addHook('onResponse', async () => {
      if (isClosing) setImmediate(() => app.server.closeIdleConnections())
    })
  },
  { name: 'closing' },
)
