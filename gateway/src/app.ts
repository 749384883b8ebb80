import { errorStatus } from '@knowalledge/generation/errors'
import { type CircuitState, createMetrics } from '@knowalledge/metrics'
import type { ResponseCache } from '@knowalledge/response-cache'
import { type App, createServiceApp, type Logger, type ReadyCheck, readiness } from '@knowalledge/service-kit'
import { bodyLimits } from './admission/body-limits.ts'
import { connectionLimits, serverOptions } from './admission/connection-limits.ts'
import { FailedLogins } from './admission/failed-logins.ts'
import { limitEachClient, limitInFlight } from './admission/in-flight.ts'
import { overload } from './admission/overload.ts'
import { rateLimits } from './admission/rate-limits.ts'
import { RequestCounts, type RequestCountsOptions } from './admission/request-counts.ts'
import { identifyBrowsers } from './auth/browsers.ts'
import { callersByAddress } from './auth/caller.ts'
import { refuseOtherSites } from './auth/csrf.ts'
import { createIdentity, type IdentityBacking } from './auth/identity.ts'
import { withSecurity } from './auth/openapi.ts'
import { sessionRoutes } from './auth/routes.ts'
import { type Config, readTrustProxy } from './config.ts'
import { confineAdminRoutes, listenForAdmins } from './http/admin-listener.ts'
import { pages } from './http/pages.ts'
import { securityHeaders } from './http/security-headers.ts'
import type { Lookup } from './proxy/discovery.ts'
import { Forwarder } from './proxy/forwarder.ts'
import { anyService, serviceChecks } from './proxy/health-checks.ts'
import { proxied } from './proxy/routes.ts'
import { createLoadBalancers, upstreams } from './proxy/upstreams.ts'
import { admin } from './routes/admin.ts'
import { createFleetOpenapi, docs, type OpenapiDocument } from './routes/docs.ts'
import { health } from './routes/health.ts'
import { quotaStats, type StatsPool } from './routes/quota-stats.ts'

export interface GatewayOptions {
  config: Config
  /** Only emptied here. */
  cache: Pick<ResponseCache, 'invalidateTags'>
  /** Only read here: for the statistics and the gauges. */
  pools: readonly [StatsPool, ...StatsPool[]]
  /** Where all gateways count their clients' requests together; without Redis each counts its own. */
  requestCounts: Pick<RequestCountsOptions, 'redis' | 'onFault'>
  /** For `/api/ready`: of Redis and the quota. */
  checks: Record<string, ReadyCheck>
  /** For the metrics. Absent without Redis. */
  redisCircuit?: (() => CircuitState) | undefined
  /** For keys and sessions: needed with AUTH=required. */
  identityBacking?: IdentityBacking | undefined
  /** Finds the addresses of a service's host name. Default: as the operating system does. */
  lookup?: Lookup | undefined
  logger: Logger
}

/** Timeout of the aggregated health and ready checks for one service, in milliseconds. */
const checkTimeoutMs = 2_000

/** The gateway: the only door. Passes on, says how things are, and knows no business rules. */
export async function buildApp(options: GatewayOptions): Promise<App> {
  const { config, cache, pools, redisCircuit, logger } = options
  const balancers = createLoadBalancers(config)
  const services = serviceChecks(balancers, '/ready')
  const checks = { ...options.checks, services: anyService(services), ...services }
  const app = await createServiceApp({
    service: 'gateway',
    description: 'Learning material from Gemini, through one gateway and one quota.',
    logger,
    metrics: createMetrics({ errorTypes: Object.keys(errorStatus) }),
    checks,
    quotaPools: pools.map(({ name, quota }) => ({ name, usage: () => quota.usage() })),
    redisCircuit,
    ownOpenapiRoute: false,
    trustProxy: readTrustProxy(config.TRUST_PROXY) ?? false,
    requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
    serverOptions,
    answersEarly: true,
    beforeRoutes: config.ADMIN_PORT === undefined ? undefined : confineAdminRoutes,
  })
  connectionLimits(app.server, config)
  if (config.ADMIN_PORT !== undefined) listenForAdmins(app, { host: config.HOST, port: config.ADMIN_PORT })
  await securityHeaders(app, config)
  const shed = await overload(app, { config })
  callersByAddress(app)
  limitInFlight(app, config)
  bodyLimits(app)
  const counts = countsWhileOpen(app, options)
  await rateLimits(app, { config, counts })
  const failedLogins = (kind: string) =>
    new FailedLogins({ counts, kind, max: config.RATE_LIMIT_FAILED_LOGINS_PER_MINUTE })
  const identity = await createIdentity(app, {
    config,
    backing: options.identityBacking,
    failedLogins: failedLogins('key'),
  })
  if (identity) sessionRoutes(app, { identity, secure: config.COOKIE_SECURE })
  upstreams(app, { config, balancers, lookup: options.lookup })
  await app.register(readiness, {
    service: 'gateway',
    checks,
    prefix: '/api',
    timeoutMs: checkTimeoutMs,
    reuseMs: 1_000,
  })
  health(app, { checks: serviceChecks(balancers, '/health'), timeoutMs: checkTimeoutMs })
  quotaStats(app, { pools })
  if (config.ADMIN_TOKEN !== undefined)
    admin(app, { token: config.ADMIN_TOKEN, failedLogins: failedLogins('token'), cache })
  const forwarder = new Forwarder({ maxInFlight: config.MAX_IN_FLIGHT, shed })
  app.register(async (learning) => {
    learning.addHook('onRequest', (_request, _reply, done) => done(forwarder.refusal()))
    refuseOtherSites(learning, config)
    if (identity) identity.protect(learning)
    else identifyBrowsers(learning, config)
    limitEachClient(learning, config)
    proxied(learning as App, { balancers, forwarder, gatewaySecret: config.GATEWAY_SECRET })
  })
  const openapi = createFleetOpenapi(balancers, () => app.swagger() as OpenapiDocument)
  pages(app)
  docs(app, { openapi: identity ? withSecurity(openapi, identity.sessionCookie) : openapi })
  return app
}

function countsWhileOpen(app: App, { config, requestCounts }: GatewayOptions): RequestCounts {
  const counts = new RequestCounts({ ...requestCounts, pool: config.QUOTA_POOL })
  app.addHook('onClose', async () => counts.close())
  return counts
}
