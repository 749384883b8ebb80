import { createHmac } from 'node:crypto'
import { Signer } from '@fastify/cookie'
import type { CircuitBreaker } from '@knowalledge/redis-kit'
import type { Cluster, Redis } from 'ioredis'
import { digestOf, newSecret, publicIdOf } from './credentials.ts'
import { cannotCheck, RememberedLookup } from './remembered-lookup.ts'

/** A browser that has shown a key once. It lives as long as that key, at most. */
export interface Session {
  /** Names it in public: 16 hex digits of the digest of what the cookie holds. */
  id: string
  /** Public id of the key that it was made with. */
  keyId: string
  /** However much it is used. */
  expiresAtMs: number
  /** Unless it is used; put off in Redis at most once in 3 s. */
  idleExpiresAtMs: number
  /** What its CSRF tokens are made from. Never sent. */
  csrfSecret: string
}

interface KeptSession {
  keyId: string
  expiresAtMs: number
}

export interface SessionsOptions {
  redis: Redis | Cluster
  /** Of that Redis. */
  breaker: CircuitBreaker
  /** At least 32 characters, the same at every gateway. */
  secret: string
  idleMs: number
  maxMs: number
  /** Of one key at once; the oldest ends for a new one. */
  maxPerKey: number
  /** Milliseconds since the epoch. */
  clock: () => number
}

type FoundSession = Omit<Session, 'csrfSecret'>

const nameOf = (digest: string) => `gateway:session:${digest}`
/** Digests of a key's sessions by the time of their login; some may have ended. */
const nameOfAll = (keyId: string) => `gateway:sessions:${keyId}`

/**
 * Sessions in Redis, under the digest of their id, so that a copy of Redis opens no session. Redis itself ends an idle
 * one: being read puts its end off. The cookie's value is the id, signed: a made-up one costs no look-up.
 */
export class Sessions {
  readonly #options: SessionsOptions
  readonly #signer: Signer
  readonly #lookup: RememberedLookup<FoundSession>

  constructor(options: SessionsOptions) {
    this.#options = options
    this.#signer = new Signer(options.secret)
    this.#lookup = new RememberedLookup<FoundSession>({
      load: (digest) => options.breaker.run(() => this.#load(digest)),
      isValid: ({ expiresAtMs, idleExpiresAtMs }) => options.clock() < Math.min(expiresAtMs, idleExpiresAtMs),
      clock: options.clock,
    })
  }

  /** A new session with a new id. `cookie` is its cookie's value. Throws HttpError when Redis does not answer. */
  async create(keyId: string): Promise<{ cookie: string; session: Session }> {
    const { redis, idleMs, maxMs, clock } = this.#options
    const sessionId = newSecret()
    const digest = digestOf(sessionId)
    const kept: KeptSession = { keyId, expiresAtMs: clock() + maxMs }
    await this.#write(() => redis.set(nameOf(digest), JSON.stringify(kept), 'PX', Math.min(idleMs, maxMs)))
    await this.#write(() => this.#list(keyId, digest))
    const session = { id: publicIdOf(digest), ...kept, idleExpiresAtMs: clock() + idleMs }
    return { cookie: this.#signer.sign(sessionId), session: this.#withSecret(sessionId, session) }
  }

  /** The session of a cookie's value, and its use counts. Throws HttpError when Redis does not answer and it was not seen lately. */
  async find(cookie: string): Promise<Session | undefined> {
    const sessionId = this.#idIn(cookie)
    const found = sessionId === null ? undefined : await this.#lookup.find(digestOf(sessionId))
    return found && sessionId !== null ? this.#withSecret(sessionId, found) : undefined
  }

  /** Other gateways refuse it within 5 s. Throws HttpError when Redis does not answer: it is not ended then. */
  async end(cookie: string, keyId: string): Promise<void> {
    const sessionId = this.#idIn(cookie)
    if (sessionId === null) return
    await this.#write(() => this.#endAll(keyId, [digestOf(sessionId)]))
  }

  async #write(operation: () => Promise<unknown>): Promise<void> {
    await this.#options.breaker.run(operation, { isWrite: true }).catch((cause) => {
      throw cannotCheck(cause)
    })
  }

  async #list(keyId: string, digest: string): Promise<void> {
    const { redis, maxMs, maxPerKey, clock } = this.#options
    const name = nameOfAll(keyId)
    await Promise.all([redis.zadd(name, clock(), digest), redis.pexpire(name, maxMs)])
    if ((await redis.zcard(name)) <= maxPerKey) return
    const all = await redis.zrange(name, 0, -1)
    const exists = await Promise.all(all.map((one) => redis.exists(nameOf(one))))
    const live = all.filter((_, n) => exists[n])
    const isOver = new Set([...all.filter((_, n) => !exists[n]), ...live.slice(0, -maxPerKey)])
    await this.#endAll(keyId, [...isOver])
  }

  async #endAll(keyId: string, digests: string[]): Promise<void> {
    const { redis } = this.#options
    await Promise.all([redis.zrem(nameOfAll(keyId), ...digests), ...digests.map((one) => redis.del(nameOf(one)))])
    for (const one of digests) this.#lookup.forget(one)
  }

  #idIn(cookie: string): string | null {
    const { valid, value } = this.#signer.unsign(cookie)
    return valid ? value : null
  }

  async #load(digest: string): Promise<FoundSession | undefined> {
    const { redis, idleMs, clock } = this.#options
    const idleExpiresAtMs = clock() + idleMs
    const json = await redis.getex(nameOf(digest), 'PX', idleMs)
    if (json === null) return undefined
    const kept = JSON.parse(json) as KeptSession
    return clock() < kept.expiresAtMs ? { id: publicIdOf(digest), ...kept, idleExpiresAtMs } : undefined
  }

  /** Derived, so that Redis does not hold it, and other than anything that is signed: no session id has a colon. */
  #withSecret(sessionId: string, session: FoundSession): Session {
    const csrfSecret = createHmac('sha256', this.#options.secret).update(`csrf:${sessionId}`).digest('base64url')
    return { ...session, csrfSecret }
  }
}
