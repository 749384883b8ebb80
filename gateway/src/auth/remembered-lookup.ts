import { HttpError } from '@knowalledge/service-kit'
import { LRUCache } from 'lru-cache'

/** An answer is taken from memory for so long: what was revoked is refused everywhere after this and one look-up, in 5 s. */
const freshMs = 3_000
/** While Redis cannot be used, what was found within this time is still valid. */
const knownMs = 5 * 60_000
const maxRemembered = 10_000

export interface LookupOptions<T> {
  /** Undefined: there is no such thing (any more). Rejects when Redis cannot be used. */
  load(id: string): Promise<T | undefined>
  /** Is a remembered one still valid? Called at each use. */
  isValid(found: T): boolean
  /** Milliseconds since the epoch. */
  clock: () => number
}

/** Finds things and remembers them for a moment, and for longer while Redis cannot be used. Never remembers what is not there. */
export class RememberedLookup<T extends object> {
  readonly #options: LookupOptions<T>
  readonly #remembered = new LRUCache<string, { found: T; requestedAtMs: number }>({ max: maxRemembered })
  readonly #loading = new Map<string, Promise<T | undefined>>()

  constructor(options: LookupOptions<T>) {
    this.#options = options
  }

  /** Throws HttpError `service_unavailable` when Redis cannot be used and this one was not found lately. */
  async find(id: string): Promise<T | undefined> {
    const fresh = this.#recall(id, freshMs)
    if (fresh !== undefined) return fresh
    try {
      return await (this.#loading.get(id) ?? this.#load(id))
    } catch (cause) {
      const known = this.#recall(id, knownMs)
      if (known !== undefined) return known
      throw cannotCheck(cause)
    }
  }

  /** An answer that is on its way is not remembered either. */
  forget(id: string): void {
    this.#remembered.delete(id)
    this.#loading.delete(id)
  }

  #recall(id: string, maxAgeMs: number): T | undefined {
    const remembered = this.#remembered.get(id)
    if (remembered === undefined || !this.#options.isValid(remembered.found)) return undefined
    const ageMs = this.#options.clock() - remembered.requestedAtMs
    return ageMs >= 0 && ageMs < maxAgeMs ? remembered.found : undefined // below 0: the clock was set back
  }

  /** Identical look-ups in flight share one. */
  #load(id: string): Promise<T | undefined> {
    const requestedAtMs = this.#options.clock()
    const isCurrent = () => this.#loading.get(id) === loading
    const loading = this.#options
      .load(id)
      .then((found) => {
        if (isCurrent()) this.#keep(id, found, requestedAtMs)
        return found
      })
      .finally(() => isCurrent() && this.#loading.delete(id))
    this.#loading.set(id, loading)
    return loading
  }

  #keep(id: string, found: T | undefined, requestedAtMs: number): void {
    if (found === undefined) this.#remembered.delete(id)
    else this.#remembered.set(id, { found, requestedAtMs })
  }
}

/** The 503 for a key or session whose store cannot be used. */
export function cannotCheck(cause: unknown): HttpError {
  const message = 'The key or session cannot be checked right now. Try again in a moment.'
  return new HttpError('service_unavailable', message, { cause, retryAfterSeconds: 1 })
}
