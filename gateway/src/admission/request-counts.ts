import { readFileSync } from 'node:fs'
import { CircuitBreaker, type CircuitBreakerOptions, defineScript, type RedisConnection } from '@knowalledge/redis-kit'
import { LRUCache } from 'lru-cache'

/** What a client has used of its window, and when that ends. */
export interface Counted {
  count: number
  endsInMs: number
}

/** A client's window: it begins with the first request and lasts `windowMs`. */
export interface ClientWindow {
  key: string
  windowMs: number
  /** A window that is known to be above this is not counted in Redis any more. */
  max: number
}

export interface RequestCountsOptions {
  /** Absent: this process counts alone. */
  redis: RedisConnection | undefined
  /** Keeps the counts of several deployments over one Redis apart. */
  pool: string
  onFault: CircuitBreakerOptions['onFault']
  /** How long a request waits for Redis before it is counted here, in milliseconds. Default 50. */
  timeoutMs?: number
  /** Milliseconds that only go forward. */
  now?: () => number
}

type Answer = (counted: Counted) => void
type Batch = Map<string, { window: ClientWindow; answers: Answer[] }>

/** Clients whose last count is remembered: some 5 MB. */
const maxRemembered = 20_000

const lua = readFileSync(new URL('../../lua/count-requests.lua', import.meta.url), 'utf8')

/**
 * Counts requests in windows that all gateways share through Redis: one command for all that come in one turn of the event
 * loop, or while the command before is in flight. While Redis cannot be used this gateway counts by itself, from the last
 * counts that it has seen.
 */
export class RequestCounts {
  readonly #command: ReturnType<typeof defineScript> | undefined
  readonly #breaker: CircuitBreaker | undefined
  readonly #keyPrefix: string
  readonly #now: () => number
  readonly #known = new LRUCache<string, { count: number; endsAtMs: number }>({ max: maxRemembered })
  #batch: Batch = new Map()
  #isSending = false

  constructor({ redis, pool, onFault, timeoutMs = 50, now = () => performance.now() }: RequestCountsOptions) {
    this.#now = now
    this.#keyPrefix = `{requests:${pool}}:`
    if (redis === undefined) return
    this.#command = defineScript(redis, { name: 'countRequests', lua })
    // Where the counts are: in a cluster the answer of another node would mean little.
    const probe = () => this.#count(['probe'], [0, 1_000])
    this.#breaker = new CircuitBreaker({ redis, timeoutMs, onFault, probe })
  }

  /** Counts one request; `answer` is called once, and at once when Redis cannot be used. */
  add(window: ClientWindow, answer: Answer): void {
    const isAlone = this.#breaker === undefined || this.#breaker.isOpen
    const counted = this.refusal(window) ?? (isAlone ? this.#countHere(window) : undefined)
    if (counted) answer(counted)
    else this.#join(window, answer)
  }

  /** The window as far as it is known here, when it is known to have let `max` requests and one more in. */
  refusal({ key, max }: Omit<ClientWindow, 'windowMs'>): Counted | undefined {
    const known = this.#known.get(key)
    if (known === undefined || known.count <= max) return undefined
    const endsInMs = known.endsAtMs - this.#now()
    return endsInMs > 0 ? { count: known.count, endsInMs } : undefined
  }

  close(): void {
    this.#breaker?.close()
  }

  #join(window: ClientWindow, answer: Answer): void {
    const waiting = this.#batch.get(window.key)
    if (waiting) waiting.answers.push(answer)
    else this.#batch.set(window.key, { window, answers: [answer] })
    if (this.#isSending) return
    this.#isSending = true
    setImmediate(() => void this.#send())
  }

  /** One command at a time: requests that come meanwhile share the next one. */
  async #send(): Promise<void> {
    while (this.#batch.size > 0) {
      const batch = this.#batch
      this.#batch = new Map()
      const counts = await this.#countInRedis(batch)
      if (counts) this.#answer(batch, counts)
      else this.#answerHere(batch)
    }
    this.#isSending = false
  }

  /** Undefined when Redis cannot be used, which the circuit breaker has reported. */
  async #countInRedis(batch: Batch): Promise<number[] | undefined> {
    const keys = [...batch.keys()]
    const terms = [...batch.values()].flatMap(({ window, answers }) => [answers.length, window.windowMs])
    return await this.#breaker?.run(() => this.#count(keys, terms), { isWrite: true }).catch(() => undefined)
  }

  /** `terms`: requests and length of the window in milliseconds, for each key. */
  async #count(keys: string[], terms: number[]): Promise<number[]> {
    const names = keys.map((key) => this.#keyPrefix + key)
    return (await this.#command?.(names.length, ...names, ...terms)) as number[]
  }

  #answer(batch: Batch, counts: number[]): void {
    const nowMs = this.#now()
    let at = 0
    for (const [key, { answers }] of batch) {
      const count = counts[at++] as number
      const endsInMs = counts[at++] as number
      this.#known.set(key, { count, endsAtMs: nowMs + endsInMs })
      const before = count - answers.length
      for (const [index, answer] of answers.entries()) answer({ count: before + index + 1, endsInMs })
    }
  }

  /** What Redis answers too late was counted in both places, which errs on the low side. */
  #answerHere(batch: Batch): void {
    for (const { window, answers } of batch.values()) for (const answer of answers) answer(this.#countHere(window))
  }

  #countHere({ key, windowMs }: ClientWindow): Counted {
    const nowMs = this.#now()
    const known = this.#known.get(key)
    if (known && known.endsAtMs > nowMs) return { count: ++known.count, endsInMs: known.endsAtMs - nowMs }
    this.#known.set(key, { count: 1, endsAtMs: nowMs + windowMs })
    return { count: 1, endsInMs: windowMs }
  }
}
