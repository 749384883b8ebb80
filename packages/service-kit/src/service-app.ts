import { type AppMetrics, type CircuitState, metricsPlugin, type QuotaGauges } from '@knowalledge/metrics'
import { type App, type AppOptions, createApp } from './app.ts'
import { closing } from './closing.ts'
import { errorHandling } from './error-handling.ts'
import { liveness } from './liveness.ts'
import { openapi } from './openapi.ts'
import { type ReadyCheck, readiness } from './readiness.ts'

export interface ServiceAppOptions extends AppOptions {
  /** One sentence for the docs. */
  description: string
  metrics: AppMetrics
  checks: Record<string, ReadyCheck>
  /** For the quota gauges of a scrape. */
  quota: () => Promise<QuotaGauges>
  cacheItems?: (() => { memory: number }) | undefined
  /** Absent without Redis. */
  redisCircuit?: (() => CircuitState) | undefined
  isCacheWritable?: (() => boolean) | undefined
  /** False when the app serves an OpenAPI document of its own making. Default true. */
  ownOpenapiRoute?: boolean
  /** Called before the first route is registered. */
  beforeRoutes?: ((app: App) => void) | undefined
}

/** What every deployable has before its first route: metrics, one error shape, OpenAPI, `/health` and `/ready`. */
export async function createServiceApp(options: ServiceAppOptions): Promise<App> {
  const { service, description, metrics, checks, ownOpenapiRoute = true } = options
  const { quota, cacheItems, redisCircuit, isCacheWritable } = options
  const app = createApp(options)
  options.beforeRoutes?.(app)
  await app.register(closing)
  await app.register(metricsPlugin, { metrics, quota, cacheItems, redisCircuit, isCacheWritable })
  await app.register(errorHandling, {
    onAnswered: (error, request) => {
      const endpoint = request.routeOptions?.config?.endpoint ?? 'unknown'
      metrics.applicationError(endpoint, error.code)
      if (error.statusCode === 400 && endpoint !== 'unknown') metrics.validationFailure('request', error.code)
    },
  })
  await app.register(openapi, { title: `KnowAllEdge ${service}`, description, ownRoute: ownOpenapiRoute })
  await app.register(liveness, { service })
  await app.register(readiness, { service, checks })
  return app
}
