import type { IncomingHttpHeaders } from 'node:http'
import { gatewaySecretHeader, writeTenant } from '@knowalledge/generation/gateway-headers'
import { context, propagation } from '@opentelemetry/api'
import type { FastifyRequest } from 'fastify'

/** What a service is to know of a request. Anything else stays here: credentials, and whatever a client could forge. */
const asked = [
  'accept',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'content-encoding',
  'content-language',
  'content-length',
  'content-type',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'last-event-id',
  'prefer',
  'range',
  'traceparent',
  'tracestate',
  'user-agent',
]

/**
 * The headers for a service, from `given`: the client's without those that its `Connection` names. A service believes all
 * of them, as they come with the gateway's secret.
 */
export function requestHeaders(
  { id, caller }: Pick<FastifyRequest, 'id' | 'caller'>,
  given: IncomingHttpHeaders,
  secret: string | undefined,
): IncomingHttpHeaders {
  const { address, browser, tenant } = caller
  const passed: IncomingHttpHeaders = { 'x-request-id': id, 'x-forwarded-for': address }
  if (secret !== undefined) passed[gatewaySecretHeader] = secret
  if (browser !== undefined) passed['x-client'] = browser
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
