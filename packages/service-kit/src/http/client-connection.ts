import type { IncomingMessage } from 'node:http'
import { finished } from 'node:stream'
import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'

/**
 * Sends no answer before its request's body has arrived. A connection that closes while bytes still arrive is reset, and the
 * client, or the gateway that streams an upload, loses the 413. The rest of the body is read and dropped, bounded by the
 * request timeout. Not `always`: only where the client wants the connection closed.
 */
export const answerAfterBody = fp<{ always: boolean }>(
  async (app, { always }) => {
    app.addHook('onSend', ({ raw }, reply, payload, done) => {
      if (!always && !wantsClose(raw)) return done(null, payload)
      const bodyless = raw.headers['transfer-encoding'] === undefined && raw.headers['content-length'] === undefined
      // A client that waits for an answer to its Expect before it sends the body must have that answer first.
      if (bodyless || raw.complete || raw.destroyed || reply.statusCode === 417) return done(null, payload)
      reply.removeHeader('connection') // of Fastify and reply-from, for a body that nobody reads
      finished(raw, () => done(null, payload))
      raw.unpipe()
      raw.resume()
    })
  },
  { name: 'answer-after-body' },
)

function wantsClose({ headers, httpVersion }: IncomingMessage): boolean {
  const connection = headers.connection?.toLowerCase()
  return connection === 'close' || (httpVersion === '1.0' && connection !== 'keep-alive')
}

/**
 * Aborts when the client disconnects before its answer is complete. (Fastify's own `request.signal` listens to the
 * request's `close`, which Node also emits once a body has been read.)
 */
export function clientSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new DOMException('The client disconnected.', 'AbortError'))
  })
  return controller.signal
}
