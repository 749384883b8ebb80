import type { IncomingMessage } from 'node:http'
import { finished } from 'node:stream'
import type { App } from './app.ts'

/**
 * No answer overtakes its request's body. A connection that closes while bytes still arrive is reset, and the client, or
 * the gateway that streams an upload to a service, loses the 413 and sees a dead server. What is left of the body is
 * read and dropped; the request timeout bounds it. Not `always`: only where the client wants the connection closed.
 */
export function answerAfterBody(app: App, { always }: { always: boolean }): void {
  app.addHook('onSend', ({ raw }, reply, payload, done) => {
    if (!always && !wantsClose(raw)) return done(null, payload)
    const bodyless = raw.headers['transfer-encoding'] === undefined && raw.headers['content-length'] === undefined
    // Who waits for a word on its Expect before it sends the body must have the answer first.
    if (bodyless || raw.complete || raw.destroyed || reply.statusCode === 417) return done(null, payload)
    reply.removeHeader('connection') // of Fastify and reply-from, for a body that nobody reads
    finished(raw, () => done(null, payload))
    raw.unpipe()
    raw.resume()
  })
}

function wantsClose({ headers, httpVersion }: IncomingMessage): boolean {
  const connection = headers.connection?.toLowerCase()
  return connection === 'close' || (httpVersion === '1.0' && connection !== 'keep-alive')
}
