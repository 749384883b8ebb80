import cookie from '@fastify/cookie'
import csrfProtection from '@fastify/csrf-protection'
import type { App, HttpError } from '@knowalledge/service-kit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Cluster, Redis } from 'ioredis'
import type { FailedLogins } from '../admission/failed-logins.ts'
import type { Config } from '../config.ts'
import { ApiKeys, type ValidKey } from './api-keys.ts'
import type { Caller } from './caller.ts'
import { digestOf, givenKey, isSameDigest, publicIdOf, unauthorized } from './credentials.ts'
import { rejectForgery } from './csrf.ts'
import { type LookupOptions, RememberedLookup } from './remembered-lookup.ts'
import { type Session, Sessions } from './sessions.ts'

/** What keys and sessions are kept in. */
export interface IdentityBacking {
  redis: Redis | Cluster
  /** Notified when a part enters degraded mode and leaves it. Default: not at all. */
  faultsOf?: (part: string) => LookupOptions<unknown>['onFault']
  /** Milliseconds since the epoch. Default Date.now. */
  clock?: () => number
}

type IdentityConfig = Pick<
  Config,
  'AUTH' | 'SESSION_SECRET' | 'SESSION_IDLE_MINUTES' | 'SESSION_MAX_HOURS' | 'MAX_SESSIONS_PER_KEY' | 'COOKIE_SECURE'
>

export interface IdentityOptions {
  config: IdentityConfig
  backing: IdentityBacking | undefined
  failedLogins: FailedLogins
}

/** Keys and sessions, or undefined with AUTH=off. Call it once, before the routes that ask. */
export async function createIdentity(
  app: App,
  { config, backing, failedLogins }: IdentityOptions,
): Promise<Identity | undefined> {
  if (config.AUTH === 'off') return undefined
  if (backing === undefined || config.SESSION_SECRET === undefined)
    throw new Error('AUTH=required needs Redis and SESSION_SECRET')
  await app.register(cookie, { hook: false })
  // `@fastify/session` here means: the secret lies in `request.session`. The token is taken from the header alone.
  await app.register(csrfProtection, {
    sessionPlugin: '@fastify/session',
    sessionKey: 'csrfSecret',
    getToken: ({ headers }) => headers['x-csrf-token'] as string | undefined,
  })
  app.decorateRequest('session')
  return new Identity({ config: { ...config, SESSION_SECRET: config.SESSION_SECRET }, backing, failedLogins })
}

/** Who may come in: by key, or by a session that a key was exchanged for. */
export class Identity {
  readonly sessionCookie: string
  readonly sessions: Sessions
  readonly #keys: RememberedLookup<ValidKey>
  readonly #failedLogins: FailedLogins

  constructor({ config, backing, failedLogins }: IdentityOptions & { config: { SESSION_SECRET: string } }) {
    const { redis, faultsOf = () => () => {}, clock = Date.now } = backing as IdentityBacking
    this.#failedLogins = failedLogins
    this.sessionCookie = sessionCookieName(config)
    const keys = new ApiKeys({ redis, clock })
    this.#keys = new RememberedLookup<ValidKey>({
      load: (id) => keys.find(id),
      isValid: (key) => !keys.hasExpired(key),
      clock,
      onFault: faultsOf('keys'),
    })
    this.sessions = new Sessions({
      redis,
      secret: config.SESSION_SECRET,
      idleMs: config.SESSION_IDLE_MINUTES * 60_000,
      maxMs: config.SESSION_MAX_HOURS * 3_600_000,
      maxPerKey: config.MAX_SESSIONS_PER_KEY,
      clock,
      onFault: faultsOf('sessions'),
    })
  }

  /** Every route of this scope needs a key or a session, and what it answers is for that caller alone. */
  protect(scope: FastifyInstance): void {
    scope.addHook('onRequest', this.requireCaller)
    scope.addHook('onRequest', rejectForgery)
    keepAnswersPrivate(scope)
  }

  /** An `onRequest` hook: sets `request.caller`. A key, where one is shown, is all that counts. Throws HttpError 401. */
  requireCaller = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const caller = await this.#identify(request)
    if (caller === undefined) throw await this.#failed(request, reply)
    request.caller = { ...request.caller, ...caller }
    request.outcome.caller = `${caller.kind} ${caller.id}`
    request.outcome.tenant = caller.tenant?.id
  }

  /** An `onRequest` hook: `requireCaller`, by key. Throws HttpError 401. */
  requireKey = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    await this.requireCaller(request, reply)
    if (request.caller.kind !== 'key') throw unauthorized(reply)
  }

  /** An `onRequest` hook: `requireCaller`, with a session in any case. Throws HttpError 401. */
  requireSession = async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    await this.requireCaller(request, reply)
    request.session ??= await this.#sessionOf(request)
    if (request.session === undefined) throw unauthorized(reply)
  }

  /** A new session for the key that let this request in, and the end of the one that it came with. Throws HttpError. */
  async login(request: FastifyRequest, reply: FastifyReply): Promise<{ cookie: string; session: SessionWithKey }> {
    const key = await this.#keys.find(request.caller.id)
    if (key === undefined) throw unauthorized(reply) // revoked a moment ago
    const { cookie, session } = await this.sessions.create(key.id)
    const earlier = this.cookieOf(request)
    if (earlier !== undefined) await this.sessions.end(earlier, key.id)
    return { cookie, session: { ...session, key } }
  }

  /** The session cookie's value, whatever it is. */
  cookieOf({ headers, server }: FastifyRequest): string | undefined {
    return headers.cookie === undefined ? undefined : server.parseCookie(headers.cookie)[this.sessionCookie]
  }

  async #identify(request: FastifyRequest): Promise<Omit<Caller, 'address' | 'browser'> | undefined> {
    const secret = givenKey(request.headers)
    if (secret !== undefined) {
      const key = await this.#keyOf(secret)
      return key && { kind: 'key', id: key.id, keyId: key.id, tenant: key.tenant }
    }
    const session = await this.#sessionOf(request)
    request.session = session
    return session && { kind: 'session', id: session.id, keyId: session.keyId, tenant: session.key.tenant }
  }

  /** A wrong key counts. A right one is looked up however many wrong ones its address has shown: a key cannot be guessed. */
  async #failed(request: FastifyRequest, reply: FastifyReply): Promise<HttpError> {
    const isWrongKey = givenKey(request.headers) !== undefined
    return (isWrongKey ? await this.#failedLogins.count(request, reply) : undefined) ?? unauthorized(reply)
  }

  /** Unknown, expired, revoked or no key at all: one look-up and one comparison. */
  async #keyOf(secret: string): Promise<ValidKey | undefined> {
    const digest = digestOf(secret)
    const key = await this.#keys.find(publicIdOf(digest))
    return isSameDigest(digest, key?.digest) ? key : undefined
  }

  /** Ends with the key that it was made with. */
  async #sessionOf(request: FastifyRequest): Promise<SessionWithKey | undefined> {
    const value = this.cookieOf(request)
    const session = value === undefined ? undefined : await this.sessions.find(value)
    const key = session && (await this.#keys.find(session.keyId))
    return key && { ...session, key }
  }
}

/** A browser takes a `__Host-` cookie from this very host and over HTTPS only, so that no neighbour can plant one. */
function sessionCookieName({ COOKIE_SECURE }: Pick<Config, 'COOKIE_SECURE'>): string {
  return COOKIE_SECURE ? '__Host-kae_session' : 'kae_session'
}

const notForPrivate = /^(?:public|private|s-maxage=.*|stale-if-error=.*|proxy-revalidate)$/i
const varyOn = ['Authorization', 'Cookie', 'X-API-Key']

/**
 * What needs a key or a session must not lie in a cache that others share, so `public` becomes `private` here: the
 * services do not know the client. A browser may keep its own copy.
 */
function keepAnswersPrivate(scope: FastifyInstance): void {
  scope.addHook('onSend', (_request, reply, _payload, done) => {
    const cacheControl = reply.getHeader('cache-control')
    if (typeof cacheControl === 'string' && /\bpublic\b/i.test(cacheControl)) {
      reply.header('cache-control', privately(cacheControl))
      const varied = reply.getHeader('vary')
      reply.header('vary', [...(varied === undefined ? [] : [varied].flat()), ...varyOn].join(', '))
    }
    done()
  })
}

function privately(cacheControl: string): string {
  const kept = cacheControl.split(',').map((directive) => directive.trim())
  return ['private', ...kept.filter((directive) => !notForPrivate.test(directive))].join(', ')
}

/** A session that holds, and the key that it stands for. */
export interface SessionWithKey extends Session {
  key: ValidKey
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Of a request that was let in by its session, or of a route that needs one. */
    session: SessionWithKey | undefined
  }
}
