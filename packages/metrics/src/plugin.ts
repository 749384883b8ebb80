import client from '@prometheus-io/client'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyMetrics from 'fastify-metrics'
import fp from 'fastify-plugin'
import { cacheItemsGauge, httpInstruments } from './instruments.ts'
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

function measureRequests(app: FastifyInstance, { metrics }: MetricsPluginOptions): void {
  const { requests, duration, inProgress } = httpInstruments(metrics.registry)

  app.addHook('onRequest', (request: FastifyRequest, reply: FastifyReply, done) => {
    const labels = {
      method: methodLabel(request.method),
      endpoint: endpointLabel(request.routeOptions.config.endpoint),
    }
    const startMs = performance.now()
    let measured = false
    const measure = (status: number) => {
      if (measured) return
      measured = true
      inProgress.dec(labels)
      requests.inc({ ...labels, status: statusLabel(status) })
      duration.observe(labels, (performance.now() - startMs) / 1000)
    }
    inProgress.inc(labels)
    // Fastify's onResponse does not run for a client that left, which would leave the gauge up for ever.
    reply.raw.once('finish', () => measure(reply.raw.statusCode))
    reply.raw.once('close', () => measure(clientClosedRequest))
    done()
  })
}

/** What is read when scraped, and not recorded when it happens. */
function scrapeRefresh({ metrics, quota, cacheItems, redisCircuit }: MetricsPluginOptions): () => Promise<void> {
  const items = cacheItemsGauge(metrics.registry)
  const refreshQuota = quota && createQuotaRefresh(metrics.registry, quota)
  return async () => {
    const { degraded } = (await refreshQuota?.()) ?? { degraded: false }
    if (redisCircuit) metrics.circuitBreakerState('redis', degraded ? 'open' : redisCircuit())
    if (cacheItems) items.set({ layer: 'memory' }, cacheItems().memory)
  }
}
