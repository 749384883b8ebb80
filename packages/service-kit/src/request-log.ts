import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App } from './app.ts'
import { clientSignal } from './client-signal.ts'
import { readTenant, type Tenant } from './tenant.ts'

/** Added to a request's completion line: what its handler knows and nobody else, such as tokens spent. */
export type RequestOutcome = Record<string, unknown>

/** What work done for one request needs to know of it: whether anybody still waits, where to log, what to tell, and who pays. */
export interface RequestContext {
  signal: AbortSignal
  log: FastifyRequest['log']
  outcome: RequestOutcome
  /** As the gateway says: nobody else reaches a service. */
  tenant: Tenant | undefined
}

/** Throws HttpError `invalid_input` for an `X-Tenant` that is not of its form. */
export function contextOf(request: FastifyRequest, reply: FastifyReply): RequestContext {
  const tenant = readTenant(request.headers['x-tenant'])
  if (tenant) request.outcome.tenant = tenant.id
  return { signal: clientSignal(reply), log: request.log, outcome: request.outcome, tenant }
}

/** One completion line a request, answered or abandoned. Probes and scrapes are for debugging only. Never a body, never a header but the trace's id. */
export function logRequests(app: App): void {
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
}

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
