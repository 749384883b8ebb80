import cookie from '@fastify/cookie'
import csrfProtection from '@fastify/csrf-protection'
import { CircuitBreaker, type CircuitBreakerOptions, type RedisConnection } from '@knowalledge/redis-kit'
import type { App } from '@knowalledge/service-kit'
import fp from 'fastify-plugin'
import { FailedLogins } from '../admission/failed-logins.ts'
import type { Config } from '../config.ts'
import { ApiKeys } from './api-keys.ts'
import { identifyBrowsers } from './caller.ts'
import { Identity, type SessionWithKey } from './identity.ts'
import { sessionRoutes } from './routes.ts'
import { Sessions } from './sessions.ts'

/** What keys and sessions are kept in. */
export interface IdentityStore {
  redis: RedisConnection
  onFault: CircuitBreakerOptions['onFault']
  /** Milliseconds since the epoch. Default Date.now. */
  clock?: () => number
}

type AuthConfig = Pick<
  Config,
  | 'AUTH'
  | 'SESSION_SECRET'
  | 'SESSION_IDLE_MINUTES'
  | 'SESSION_MAX_HOURS'
  | 'MAX_SESSIONS_PER_KEY'
  | 'COOKIE_SECURE'
  | 'RATE_LIMIT_FAILED_LOGINS_PER_MINUTE'
>

export interface AuthOptions {
  config: AuthConfig
  /** Needed with AUTH=required. */
  store: IdentityStore | undefined
}

/** A Redis that takes longer is treated as one that cannot be used: a request waits for it. */
const redisTimeoutMs = 100

/** `app.identity` and the routes of sessions; with AUTH=off neither exists. */
export const auth = fp<AuthOptions>(
  async (app, { config, store }) => {
    if (config.AUTH === 'off') return void app.decorate('identity', undefined)
    if (store === undefined || config.SESSION_SECRET === undefined)
      throw new Error('AUTH=required needs Redis and SESSION_SECRET')
    await app.register(cookie, { hook: false })
    // `@fastify/session` here means: the secret lies in `request.session`. The token is taken from the header alone.
    await app.register(csrfProtection, {
      sessionPlugin: '@fastify/session',
      sessionKey: 'csrfSecret',
      getToken: ({ headers }) => headers['x-csrf-token'] as string | undefined,
    })
    app.decorateRequest('session')
    const { redis, onFault, clock = Date.now } = store
    const breaker = new CircuitBreaker({ redis, timeoutMs: redisTimeoutMs, onFault })
    app.addHook('onClose', async () => breaker.close())
    const identity = new Identity({
      keys: new ApiKeys({ redis, clock }),
      sessions: new Sessions({
        redis,
        breaker,
        secret: config.SESSION_SECRET,
        idleMs: config.SESSION_IDLE_MINUTES * 60_000,
        maxMs: config.SESSION_MAX_HOURS * 3_600_000,
        maxPerKey: config.MAX_SESSIONS_PER_KEY,
        clock,
      }),
      breaker,
      failedLogins: new FailedLogins({
        counts: app.requestCounts,
        kind: 'key',
        max: config.RATE_LIMIT_FAILED_LOGINS_PER_MINUTE,
      }),
      secure: config.COOKIE_SECURE,
      clock,
    })
    app.decorate('identity', identity)
    sessionRoutes(app as App, { identity, secure: config.COOKIE_SECURE })
  },
  { name: 'auth', dependencies: ['client-address', 'rate-limits'] },
)

/** Names the client of each request in this scope: by key or session, or with AUTH=off by the cookie of its browser. */
export const identifyClients = fp<Pick<Config, 'SESSION_SECRET' | 'COOKIE_SECURE'>>(
  async (scope, config) => {
    if (scope.identity) scope.identity.protect(scope)
    else identifyBrowsers(scope, config)
  },
  { name: 'identify-clients', dependencies: ['auth'] },
)

declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined with AUTH=off. */
    identity: Identity | undefined
  }
  interface FastifyRequest {
    /** Of a request that was let in by its session, or of a route that needs one. */
    session: SessionWithKey | undefined
  }
}
