import httpProxy from '@fastify/http-proxy'
import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { upstreamError } from './errors.ts'
import { forClient } from './forwarder.ts'
import { answerHeaders, requestHeaders } from './headers.ts'
import type { ServiceName } from './load-balancer.ts'
import type { LoadBalancers } from './upstreams.ts'

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
  balancers: LoadBalancers
  gatewaySecret: string | undefined
}

/** Passes the learning routes on to their services, bodies as streams. What is wrong with a body the service says. */
export const proxy = fp<ProxyOptions>(
  async (app, { balancers, gatewaySecret }) => {
    const { forwarder } = app
    for (const { service, method, prefix, path, endpoint } of routes) {
      const balancer = balancers[service]
      app.register(httpProxy, {
        upstream: balancer.urls[0] as string, // the balancer knows the others, and chooses
        undici: forwarder.to(balancer),
        prefix,
        rewritePrefix: prefix,
        routes: [path],
        httpMethods: [method],
        config: { endpoint },
        disableRequestLogging: true,
        handler: (request, reply, path, options) => {
          const { tenant } = request.caller
          if (tenant) request.outcome.tenant = tenant.id
          return reply.from(path, {
            ...options,
            rewriteRequestHeaders: (_request, given) => forClient(reply, requestHeaders(request, given, gatewaySecret)),
          })
        },
        replyOptions: {
          rewriteHeaders: answerHeaders,
          retryDelay: () => null, // the default repeats a GET up to ten times on a 503
          onResponse: (_request, reply, { stream }) => sendAnswer(reply as FastifyReply, stream),
          onError: (reply, { error }) => reply.send(upstreamError(service, error)),
        },
      })
    }
  },
  { name: 'proxy', dependencies: ['forwarder', 'identify-clients', 'rate-limits', 'body-limits', 'upstreams'] },
)

/** `body`: a Buffer, where the forwarder has read a small answer, or a stream. */
function sendAnswer(reply: FastifyReply, body: unknown): void {
  // Set by reply-from when the answer came before all of an upload did. To close then would cost the client its answer:
  // what is left of the upload is dropped instead.
  if (reply.hasHeader('connection')) reply.removeHeader('connection')
  const isEventStream = String(reply.getHeader('content-type')).startsWith('text/event-stream')
  // Node keeps a head back until the first bytes of the body; Fastify has set the headers when it pipes.
  if (isEventStream) reply.raw.once('pipe', () => reply.raw.flushHeaders())
  reply.send(body)
}
