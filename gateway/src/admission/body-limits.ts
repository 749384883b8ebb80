import { type Readable, Transform } from 'node:stream'
import { HttpError } from '@knowalledge/service-kit'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

const json = { maxBytes: 256 * 1024, message: 'The body is too large: JSON may have at most 256 KiB.' }
/** Above the service's own bound of 10 MiB for the picture, which it says more exactly. */
const upload = { maxBytes: 11 * 1024 * 1024, message: 'The body is too large: a picture may have at most 10 MiB.' }

/** Bodies that are passed on without being read; the gateway's own are bounded where they are parsed. */
const bodies: Record<string, Bound> = {
  create_subtopics: json,
  create_presentation: json,
  generate_image: json,
  image2topic: upload,
}

interface Bound {
  maxBytes: number
  message: string
}

/**
 * Bounds what a body may be: 413 when it is too large, said or seen. After its
 * answer a client may send on for `lingerMs`, read by nobody: cut off at once it might not see the answer.
 */
export const bodyLimits = fp<{ lingerMs?: number }>(
  async (app, { lingerMs = 10_000 }) => {
    app.addHook('onRoute', (route) => {
      const bound = bodies[route.config?.endpoint ?? '']
      if (bound === undefined || ![route.method].flat().includes('POST')) return
      route.preParsing = (request, _reply, payload, done) => {
        const length = request.headers['content-length']
        if (length === undefined) done(null, bounded(payload as Readable, bound))
        else if (Number(length) > bound.maxBytes) done(tooLarge(bound))
        else done(null, payload) // Node holds it to its length
      }
    })
    app.addHook('onResponse', (request, _reply, done) => {
      if (!request.raw.complete) setTimeout(closeUnread, lingerMs, request.raw).unref()
      done()
    })
  },
  { name: 'body-limits' },
)

function closeUnread({ complete, socket }: FastifyRequest['raw']): void {
  if (!complete) socket.destroy()
}

/** Ends in a 413 once more has come; who reads it, such as the request to a service, is broken off. */
function bounded(body: Readable, bound: Bound): Readable {
  let bytes = 0
  const passed = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      if (bytes <= bound.maxBytes) return done(null, chunk)
      body.unpipe(passed)
      body.resume() // unread, it would block the connection
      done(tooLarge(bound))
    },
  })
  body.once('close', () => {
    if (!body.readableEnded) passed.destroy() // the client went away
  })
  return body.pipe(passed)
}

function tooLarge({ message }: Bound): HttpError {
  return new HttpError('payload_too_large', message)
}
