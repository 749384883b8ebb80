import { once } from 'node:events'
import { createServer } from 'node:http'
import client from '@prometheus-io/client'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyMetrics from 'fastify-metrics'
import fp from 'fastify-plugin'
import { cacheItemsGauge, httpInstruments, redisWritableGauge, waitingClientsGauge } from './instruments.ts'
import { clientClosedRequest, endpointLabel, methodLabel, statusLabel } from './labels.ts'
import { createQuotaRefresh } from './quota-gauges.ts'
import type { Endpoint, MetricsPluginOptions } from './types.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The `endpoint` label of this route's metrics; without it the route counts as `unknown`. */
    endpoint?: Endpoint
  }
}

/** Serves `GET /metrics` and measures every request. Register it first, so that no route is missed. */
export const metricsPlugin = fp(serveMetrics, { name: 'metrics', fastify: '5.x' })

async function serveMetrics(app: FastifyInstance, options: MetricsPluginOptions): Promise<void> {
  const { registry } = options.metrics
  measureRequests(app, options)
  const refresh = scrapeRefresh(options)
  if (options.listener?.port !== undefined)
    listen(app, options.listener, async () => {
      await refresh()
      return { type: registry.contentType, body: await registry.metrics() }
    })

  await app.register(fastifyMetrics.default, {
    // fastify-metrics serves its client's global registry; here that is this app's own.
    promClient: { ...client, register: registry },
    defaultMetrics: { enabled: true, register: registry },
    routeMetrics: { enabled: false }, // its histogram always has a status label: ADR 0040
    endpoint: {
      method: 'GET',
      url: '/metrics',
      config: { endpoint: 'metrics' },
      logLevel: 'warn',
      exposeHeadRoute: false,
      async preHandler() {
        await refresh()
      },
      handler: () => registry.metrics(), // replaced by fastify-metrics with one that also sets the content type
    },
  })
}

/** A port of its own, so that a network policy can let Prometheus reach `/metrics` and nothing else. A taken port rejects `ready`. */
function listen(
  app: FastifyInstance,
  { host, port }: NonNullable<MetricsPluginOptions['listener']>,
  scrape: () => Promise<{ type: string; body: string }>,
): void {
  const server = createServer((request, reply) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      const error = { error: 'not_found', message: 'There is only GET /metrics on this port.' }
      reply.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify(error))
      return
    }
    scrape().then(
      ({ type, body }) => reply.writeHead(200, { 'content-type': type }).end(body),
      (error: unknown) => {
        app.log.error({ err: error }, 'metrics could not be collected')
        reply.writeHead(500).end()
      },
    )
  })
  app.addHook('onReady', async () => {
    server.listen(port, host)
    await once(server, 'listening')
  })
  app.addHook('onClose', async () => {
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })
}

function measureRequests(app: FastifyInstance, { metrics }: MetricsPluginOptions): void {
  const instruments = httpInstruments(metrics.registry)
  const kinds = new Map<string, RequestsOfAKind>()
  const kindOf = (method: string, endpoint: Endpoint) =>
    remembered(kinds, `${method} ${endpoint}`, () => new RequestsOfAKind(instruments, { method, endpoint }))
  app.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done) => {
    const kind = kindOf(methodLabel(request.method), endpointLabel(request.routeOptions.config.endpoint))
    const startMs = performance.now()
    let measured = false
    const measure = (status: number) => {
      if (measured) return
      measured = true
      kind.ended(status, (performance.now() - startMs) / 1000)
    }
    kind.begun()
    // Fastify's onResponse does not run for a client that left, which would leave the gauge up for ever.
    reply.raw.once('finish', () => measure(reply.raw.statusCode))
    reply.raw.once('close', () => measure(clientClosedRequest))
    done()
  })
}

/** Looks its labels up once: the client library sorts and joins them at each use. */
class RequestsOfAKind {
  readonly #inProgress
  readonly #duration
  readonly #byStatus = new Map<string, { inc(): void }>()
  readonly #withStatus: (status: string) => { inc(): void }

  constructor(instruments: ReturnType<typeof httpInstruments>, labels: { method: string; endpoint: Endpoint }) {
    this.#inProgress = instruments.inProgress.labels(labels)
    this.#duration = instruments.duration.labels(labels)
    this.#withStatus = (status) => instruments.requests.labels({ ...labels, status })
  }

  begun(): void {
    this.#inProgress.inc()
  }

  ended(status: number, seconds: number): void {
    this.#inProgress.dec()
    this.#duration.observe(seconds)
    const label = statusLabel(status)
    remembered(this.#byStatus, label, () => this.#withStatus(label)).inc()
  }
}

function remembered<T>(made: Map<string, T>, name: string, make: () => T): T {
  let it = made.get(name)
  if (it === undefined) {
    it = make()
    made.set(name, it)
  }
  return it
}

/** What is read when scraped, and not recorded when it happens. */
function scrapeRefresh(options: MetricsPluginOptions): () => Promise<void> {
  const { metrics, quotaPools, cacheItems, redisCircuit, isCacheWritable, waitingClients } = options
  const items = cacheItemsGauge(metrics.registry)
  const writableGauge = redisCircuit && redisWritableGauge(metrics.registry)
  const refreshQuota = quotaPools && createQuotaRefresh(metrics.registry, quotaPools)
  const waiting = waitingClients && waitingClientsGauge(metrics.registry)
  return async () => {
    const { degraded, writable } = (await refreshQuota?.()) ?? { degraded: false, writable: false }
    if (refreshQuota) writableGauge?.set({ store: 'quota' }, writable ? 1 : 0)
    if (isCacheWritable) writableGauge?.set({ store: 'cache' }, isCacheWritable() ? 1 : 0)
    if (redisCircuit) metrics.circuitBreakerState('redis', degraded ? 'open' : redisCircuit())
    if (waitingClients) waiting?.set(waitingClients())
    if (cacheItems) items.set({ layer: 'memory' }, cacheItems().memory)
  }
}
