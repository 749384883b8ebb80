import { HttpError } from '@knowalledge/service-kit'
import { LRUCache } from 'lru-cache'

/** An answer is taken from memory for so long: what was revoked is refused everywhere after this and one look-up, in 5 s. */
const freshMs = 3_000
/** While Redis is silent, who was seen within this time is still known. */
const knownMs = 5 * 60_000
const timeoutMs = 100
/** After a failure Redis is left alone for so long; nobody waits meanwhile. */
const pauseMs = 500
const maxRemembered = 10_000

export interface LookupOptions<T> {
  /** Asks Redis. Undefined: there is no such thing (any more). */
  load(id: string): Promise<T | undefined>
  /** Does a remembered one still hold? Asked at each use. */
  isValid(found: T): boolean
  /** Milliseconds since the epoch. */
  clock: () => number
  /** Told once per change of state, for the log. */
  onFault: (fault: { state: 'degraded' | 'recovered'; cause?: unknown }) => void
}

/** Finds things in Redis and remembers them for a moment, and for longer when Redis is silent. What is not there is never remembered. */
export class RememberedLookup<T extends object> {
  readonly #options: LookupOptions<T>
  readonly #remembered = new LRUCache<string, { found: T; askedAtMs: number }>({ max: maxRemembered })
  readonly #asking = new Map<string, Promise<T | undefined>>()
  #fault: { cause: unknown; untilMs: number } | undefined

  constructor(options: LookupOptions<T>) {
    this.#options = options
  }

  /** Throws HttpError `service_unavailable` when Redis does not answer and this one was not seen lately. */
  async find(id: string): Promise<T | undefined> {
    const fresh = this.#recall(id, freshMs)
    if (fresh !== undefined) return fresh
    try {
      return await (this.#asking.get(id) ?? this.#ask(id))
    } catch (cause) {
      const known = this.#recall(id, knownMs)
      if (known !== undefined) return known
      throw unavailable(cause)
    }
  }

  /** An answer that is on its way is not remembered either. */
  forget(id: string): void {
    this.#remembered.delete(id)
    this.#asking.delete(id)
  }

  #recall(id: string, maxAgeMs: number): T | undefined {
    const remembered = this.#remembered.get(id)
    if (remembered === undefined || !this.#options.isValid(remembered.found)) return undefined
    const ageMs = this.#options.clock() - remembered.askedAtMs
    return ageMs >= 0 && ageMs < maxAgeMs ? remembered.found : undefined // below 0: the clock was set back
  }

  #ask(id: string): Promise<T | undefined> {
    const askedAtMs = this.#options.clock()
    if (this.#isPaused(askedAtMs)) return Promise.reject(this.#fault?.cause)
    const asking = answerWithin(timeoutMs, this.#options.load(id)).then(
      (found) => {
        if (this.#asking.get(id) === asking) this.#keep(id, found, askedAtMs)
        this.#heard()
        return found
      },
      (cause) => {
        this.#unheard(cause)
        throw cause
      },
    )
    this.#asking.set(id, asking)
    const done = () => this.#asking.get(id) === asking && this.#asking.delete(id)
    asking.then(done, done)
    return asking
  }

  #isPaused(nowMs: number): boolean {
    const leftMs = (this.#fault?.untilMs ?? nowMs) - nowMs
    return leftMs > 0 && leftMs <= pauseMs
  }

  #keep(id: string, found: T | undefined, askedAtMs: number): void {
    if (found === undefined) this.#remembered.delete(id)
    else this.#remembered.set(id, { found, askedAtMs })
  }

  #heard(): void {
    if (this.#fault === undefined) return
    this.#fault = undefined
    this.#options.onFault({ state: 'recovered' })
  }

  #unheard(cause: unknown): void {
    if (this.#fault === undefined) this.#options.onFault({ state: 'degraded', cause })
    this.#fault = { cause, untilMs: this.#options.clock() + pauseMs }
  }
}

/** For what needs Redis itself and no memory of it. Throws HttpError `service_unavailable` when there is no answer in time. */
export async function fromRedis<T>(answer: Promise<T>): Promise<T> {
  return answerWithin(timeoutMs, answer).catch((cause) => {
    throw unavailable(cause)
  })
}

/** An answer that has come and only waits behind a busy event loop is not late: so the loop turns once more. */
async function answerWithin<T>(ms: number, answer: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => setImmediate(() => reject(new Error(`Redis gave no answer in ${ms} ms`))), ms)
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}

function unavailable(cause: unknown): HttpError {
  return new HttpError('service_unavailable', 'Who asks cannot be checked right now. Try again in a moment.', {
    cause,
    retryAfterSeconds: 1,
  })
}
