import type { IncomingHttpHeaders } from 'node:http'
import httpProxy from '@fastify/http-proxy'
import type { App } from '@knowalledge/service-kit'
import { context, propagation } from '@opentelemetry/api'
import { refused, upstreamError } from '../upstream-errors.ts'
import type { ServiceName, Upstreams } from '../upstreams.ts'

interface ProxiedRoute {
  service: ServiceName
  method: 'GET' | 'POST'
  prefix: string
  /** Below the prefix. */
  path: string
  endpoint: 'create_subtopics' | 'create_presentation' | 'image2topic' | 'generate_image' | 'images'
}

/** Everything that is passed on; any other path ends here. */
const routes: ProxiedRoute[] = [
  {
    service: 'text-generation',
    method: 'POST',
    prefix: '/api/create_subtopics',
    path: '',
    endpoint: 'create_subtopics',
  },
  {
    service: 'text-generation',
    method: 'POST',
    prefix: '/api/create_presentation',
    path: '',
    endpoint: 'create_presentation',
  },
  { service: 'text-generation', method: 'GET', prefix: '/api/subtopics', path: '', endpoint: 'create_subtopics' },
  { service: 'text-generation', method: 'GET', prefix: '/api/explanation', path: '', endpoint: 'create_presentation' },
  { service: 'vision', method: 'POST', prefix: '/api/image2topic', path: '', endpoint: 'image2topic' },
  { service: 'image-generation', method: 'POST', prefix: '/api/generate_image', path: '', endpoint: 'generate_image' },
  { service: 'image-generation', method: 'GET', prefix: '/api/images', path: '/:sha256', endpoint: 'images' },
]

export interface ProxyOptions {
  upstreams: Upstreams
  timeoutMs: number
}

/**
 * An idle connection is closed from here, and sooner than a service that drains would end it (DRAIN_MS): a request is
 * never sent into a connection that is being closed.
 */
const connections = { connections: 128, pipelining: 1, keepAliveTimeout: 1_000, keepAliveMaxTimeout: 1_000 }

/** Passes the learning routes on to their services, bodies as streams. What is wrong with a body the service says. */
export function proxied(app: App, { upstreams, timeoutMs }: ProxyOptions): void {
  app.decorateRequest('upstreamUrl', '')
  for (const { service, method, prefix, path, endpoint } of routes) {
    app.register(httpProxy, {
      upstream: '',
      prefix,
      rewritePrefix: prefix,
      routes: [path],
      httpMethods: [method],
      config: { endpoint },
      disableRequestLogging: true,
      undici: { ...connections, headersTimeout: timeoutMs, bodyTimeout: timeoutMs },
      replyOptions: {
        getUpstream: (request) => {
          request.upstreamUrl = upstreams.all[service].next()
          return request.upstreamUrl
        },
        rewriteRequestHeaders: trustedHeaders,
        rewriteHeaders: endToEndHeaders,
        retryDelay: () => null, // the default repeats a GET up to ten times on a 503
        onError: (reply, { error }) => {
          if (refused(error)) upstreams.all[service].leaveOut(reply.request.upstreamUrl)
          reply.send(upstreamError(service, error))
        },
      },
    })
  }
}

/**
 * A service believes what the gateway says, so nothing that a client could forge gets past it, and no credential. Nor does `Expect`, which
 * curl sends with every large upload: Node has answered it already, and undici refuses it.
 */
function trustedHeaders(request: { id: string; ip: string }, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const passed = Object.entries(headers).filter(
    ([name]) =>
      !/^(x-forwarded-|forwarded$|authorization$|cookie$|x-api-key$|x-real-ip$|x-tenant$|te$|trailer$|upgrade$|keep-alive$|expect$|proxy-)/.test(
        name,
      ),
  )
  const trusted = { ...Object.fromEntries(passed), 'x-request-id': request.id, 'x-forwarded-for': request.ip }
  propagation.inject(context.active(), trusted) // where tracing is off, the client's own traceparent passes as it came
  return trusted
}

/** Whether the connection to the service stays open is nobody's business on this side. */
function endToEndHeaders({ connection: _, 'keep-alive': __, ...headers }: IncomingHttpHeaders): IncomingHttpHeaders {
  return headers
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Where this request was passed on to. */
    upstreamUrl: string
  }
}
