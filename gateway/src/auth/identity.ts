import type { CircuitBreaker } from '@knowalledge/redis-kit'
import type { HttpError } from '@knowalledge/service-kit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { FailedLogins } from '../admission/failed-logins.ts'
import type { ApiKeys, ValidKey } from './api-keys.ts'
import type { Caller } from './caller.ts'
import { digestOf, givenKey, isSameDigest, publicIdOf, unauthorized } from './credentials.ts'
import { rejectForgery } from './csrf.ts'
import { RememberedLookup } from './remembered-lookup.ts'
import type { Session, Sessions } from './sessions.ts'

export interface IdentityOptions {
  keys: ApiKeys
  sessions: Sessions
  breaker: CircuitBreaker
  failedLogins: FailedLogins
  /** False: the session cookie may travel over plain HTTP. */
  secure: boolean
  /** Milliseconds since the epoch. */
  clock: () => number
}

/** Who may come in: by key, or by a session that a key was exchanged for. */
export class Identity {
  readonly sessionCookie: string
  readonly sessions: Sessions
  readonly #keys: RememberedLookup<ValidKey>
  readonly #failedLogins: FailedLogins

  constructor({ keys, sessions, breaker, failedLogins, secure, clock }: IdentityOptions) {
    // A browser takes a `__Host-` cookie from this very host and over HTTPS only, so that no neighbour can plant one.
    this.sessionCookie = secure ? '__Host-kae_session' : 'kae_session'
    this.sessions = sessions
    this.#failedLogins = failedLogins
    this.#keys = new RememberedLookup<ValidKey>({
      load: (id) => breaker.run(() => keys.find(id)),
      isValid: (key) => !keys.hasExpired(key),
      clock,
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
