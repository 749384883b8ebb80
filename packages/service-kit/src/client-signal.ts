import type { FastifyReply } from 'fastify'

/**
 * Aborts when the client goes away before its answer is complete. (Fastify's own `request.signal` listens to the
 * request's `close`, which Node also emits once a body has been read.)
 */
export function clientSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new DOMException('The client went away.', 'AbortError'))
  })
  return controller.signal
}
