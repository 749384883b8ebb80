import type { IncomingHttpHeaders } from 'node:http'
import { writeTenant } from '@knowalledge/generation/tenant'
import { context, propagation } from '@opentelemetry/api'
import type { FastifyRequest } from 'fastify'

/** What a service is to know of a request. Anything else stays here: credentials, and whatever a client could forge. */
const asked = [
  'accept',
  'accept-encoding',
  'accept-language',
  'baggage',
  'cache-control',
  'content-encoding',
  'content-language',
  'content-length',
  'content-type',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'last-event-id',
  'range',
  'traceparent',
  'tracestate',
  'user-agent',
]

type Asking = Pick<FastifyRequest, 'id' | 'caller'>

/** `given` are the client's, without those that its `Connection` names. A service believes all that it gets from here. */
export function requestHeaders(request: Asking, given: IncomingHttpHeaders): IncomingHttpHeaders {
  const { address, tenant } = request.caller
  const passed: IncomingHttpHeaders = { 'x-request-id': request.id, 'x-forwarded-for': address }
  for (const name of asked) if (given[name] !== undefined) passed[name] = given[name]
  if (tenant) passed['x-tenant'] = writeTenant(tenant)
  propagation.inject(context.active(), passed) // where tracing is off, the client's own traceparent passes as it came
  return passed
}

/** How a service's connection stands and what it runs on is nobody's business on this side. */
const unsaid = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'server',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'x-powered-by',
])

/** A service's own headers, without those of the connection that it came by. */
export function answerHeaders(given: IncomingHttpHeaders): IncomingHttpHeaders {
  const named = namedBy(given.connection)
  const passed: IncomingHttpHeaders = {}
  for (const name of Object.keys(given)) if (!unsaid.has(name) && !named.includes(name)) passed[name] = given[name]
  return passed
}

const nothing: string[] = []

function namedBy(connection: string | undefined): string[] {
  if (connection === undefined || connection === 'keep-alive') return nothing // nearly all
  return connection.toLowerCase().split(/[\s,]+/)
}
