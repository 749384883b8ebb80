import { errorStatus } from '@knowalledge/generation/errors'
import { type CircuitState, createMetrics } from '@knowalledge/metrics'
import type { ResponseCache } from '@knowalledge/response-cache'
import {
  type App,
  createServiceApp,
  type Logger,
  processSnapshots,
  type ReadyCheck,
  readiness,
} from '@knowalledge/service-kit'
import { bodyLimits } from './admission/body-limits.ts'
import { connectionLimits, serverOptions } from './admission/connection-limits.ts'
import { FailedLogins } from './admission/failed-logins.ts'
import { limitEachAddress, limitEachClient } from './admission/in-flight.ts'
import { overload } from './admission/overload.ts'
import { type RateLimitOptions, rateLimits } from './admission/rate-limits.ts'
import { clientAddress } from './auth/caller.ts'
import { refuseOtherSites } from './auth/csrf.ts'
import { withSecurity } from './auth/openapi.ts'
import { auth, type IdentityStore, identifyClients } from './auth/plugin.ts'
import { type Config, readTrustProxy } from './config.ts'
import { adminListener, confineAdminRoutes } from './http/admin-listener.ts'
import { pages } from './http/pages.ts'
import { securityHeaders } from './http/security-headers.ts'
import type { Lookup } from './proxy/discovery.ts'
import { forwarder } from './proxy/forwarder.ts'
import { anyService, serviceChecks } from './proxy/health-checks.ts'
import { proxy } from './proxy/routes.ts'
import { createLoadBalancers, upstreams } from './proxy/upstreams.ts'
import { admin, requireAdminToken } from './routes/admin.ts'
import { createFleetOpenapi, docs, type OpenapiDocument } from './routes/docs.ts'
import { health } from './routes/health.ts'
import { ops } from './routes/ops.ts'
import { quotaStats, type StatsPool } from './routes/quota-stats.ts'

export interface GatewayOptions {
  config: Config
  /** Only emptied here. */
  cache: Pick<ResponseCache, 'invalidateTags'>
  /** Only read here: for the statistics and the gauges. */
  pools: readonly [StatsPool, ...StatsPool[]]
  /** Where all gateways count their clients' requests together; without Redis each counts its own. */
  requestCounts: RateLimitOptions['requestCounts']
  /** For `/api/ready`: of Redis and the quota. */
  checks: Record<string, ReadyCheck>
  /** For the metrics. Absent without Redis. */
  redisCircuit?: (() => CircuitState) | undefined
  /** For keys and sessions: needed with AUTH=required. */
  identityStore?: IdentityStore | undefined
  /** Finds the addresses of a service's host name. Default: as the operating system does. */
  lookup?: Lookup | undefined
  logger: Logger
}

/** Timeout of the aggregated health and ready checks for one service, in milliseconds. */
const checkTimeoutMs = 2_000

/** The gateway. The order of the plugins is the order of their hooks; each names those that must come before it. */
export async function buildApp(options: GatewayOptions): Promise<App> {
  const { config, cache, pools, redisCircuit, logger } = options
  const balancers = createLoadBalancers(config)
  const services = serviceChecks(balancers, '/ready')
  const checks = { ...options.checks, services: anyService(services), ...services }
  const metrics = createMetrics({ errorTypes: Object.keys(errorStatus) })
  const app = await createServiceApp({
    service: 'gateway',
    description: 'Learning material from Gemini, through one gateway and one quota.',
    logger,
    metrics,
    checks,
    quotaPools: pools.map(({ name, quota }) => ({ name, usage: () => quota.usage() })),
    redisCircuit,
    listener: { host: config.HOST, port: config.METRICS_PORT },
    ownOpenapiRoute: false,
    trustProxy: readTrustProxy(config.TRUST_PROXY) ?? false,
    requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
    serverOptions,
    answersEarly: true,
    beforeRoutes: config.ADMIN_PORT === undefined ? undefined : confineAdminRoutes,
  })
  connectionLimits(app.server, config)
  if (config.ADMIN_PORT !== undefined) await app.register(adminListener, { host: config.HOST, port: config.ADMIN_PORT })
  await app.register(securityHeaders, config)
  await app.register(overload, config)
  await app.register(clientAddress)
  await app.register(limitEachAddress, config)
  await app.register(bodyLimits)
  await app.register(rateLimits, { config, requestCounts: options.requestCounts })
  await app.register(auth, { config, store: options.identityStore })
  await app.register(upstreams, { config, balancers, lookup: options.lookup })
  await app.register(readiness, {
    service: 'gateway',
    checks,
    prefix: '/api',
    timeoutMs: checkTimeoutMs,
    reuseMs: 1_000,
  })
  health(app, { checks: serviceChecks(balancers, '/health'), timeoutMs: checkTimeoutMs })
  quotaStats(app, { pools })
  const { ADMIN_TOKEN: token, RATE_LIMIT_FAILED_LOGINS_PER_MINUTE: max } = config
  const requireToken =
    token === undefined
      ? undefined
      : requireAdminToken(token, new FailedLogins({ counts: app.requestCounts, kind: 'token', max }))
  if (requireToken) admin(app, { requireToken, cache })
  const snapshot = processSnapshots({ service: 'gateway', metrics, logger })
  ops(app, { config, balancers, pools, snapshot, requireToken })
  app.register(async (learning) => {
    await learning.register(forwarder, config)
    await learning.register(refuseOtherSites, config)
    await learning.register(identifyClients, config)
    await learning.register(limitEachClient, config)
    await learning.register(proxy, { balancers, gatewaySecret: config.GATEWAY_SECRET })
  })
  const openapi = createFleetOpenapi(balancers, () => app.swagger() as OpenapiDocument)
  pages(app)
  docs(app, { openapi: app.identity ? withSecurity(openapi, app.identity.sessionCookie) : openapi })
  return app
}
