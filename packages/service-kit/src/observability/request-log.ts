import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

/** Added to the completion line of a request by its handler, such as the tokens that were spent. */
export type RequestOutcome = Record<string, unknown>

/** One completion line for each request, answered or abandoned; for probes and scrapes at level debug. Never a body, never a header but the trace id. */
export const requestLog = fp(
  async (app) => {
    app.decorateRequest('outcome')
    // Hooks of every request call `done`: a promise each would cost more than what they do.
    app.addHook('onRequest', (request, reply, done) => {
      request.outcome = {}
      // Fastify's onRequestAbort does not run once the request's body has been read.
      let isAnswered = false
      reply.raw.once('finish', () => {
        isAnswered = true
      })
      reply.raw.once('close', () => {
        if (!isAnswered) request.log.info({ ...aboutOf(request), ...request.outcome }, 'the client went away')
      })
      done()
    })
    app.addHook('onResponse', (request, reply, done) => {
      const line = {
        ...aboutOf(request),
        status: reply.statusCode,
        duration_ms: Math.round(reply.elapsedTime),
        cache: reply.getHeader('x-cache'),
        ...request.outcome,
      }
      if (request.routeOptions.config.quiet) request.log.debug(line, 'request completed')
      else request.log.info(line, 'request completed')
      done()
    })
  },
  { name: 'request-log' },
)

function aboutOf(request: FastifyRequest) {
  return {
    operation: request.routeOptions.config.endpoint ?? 'unknown',
    method: request.method,
    path: request.url.split('?', 1)[0],
    trace_id: traceId(request.headers.traceparent),
  }
}

/** W3C Trace Context: version-traceid-parentid-flags. The header itself is passed on as it came. */
function traceId(traceparent: string | string[] | undefined): string | undefined {
  return typeof traceparent === 'string'
    ? /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-/.exec(traceparent)?.[1]
    : undefined
}

declare module 'fastify' {
  interface FastifyRequest {
    outcome: RequestOutcome
  }
  interface FastifyContextConfig {
    /** Probes and scrapes: their completion lines are for debugging only. */
    quiet?: boolean
  }
}
