import { readFileSync } from 'node:fs'
import type { Cluster, Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'

/** What a caller has used of its window, and when that ends. */
export interface Counted {
  count: number
  endsInMs: number
}

/** A caller's window: it begins with the first request and lasts `windowMs`. */
export interface CallerWindow {
  key: string
  windowMs: number
  /** Above this a window that is known to be full is not asked for again. */
  max: number
}

export interface RequestCountsOptions {
  /** Should give a command up after some 200 ms; absent: this process counts alone. */
  redis: Redis | Cluster | undefined
  /** Keeps the counts of several deployments over one Redis apart. */
  pool: string
  onFault: (fault: { state: 'degraded' | 'recovered'; cause?: unknown }) => void
  /** Milliseconds that only go forward. */
  now?: () => number
}

type Answer = (counted: Counted) => void

/** How long a request waits for Redis before it is counted here, and how often a Redis that failed is tried. */
const answerWithinMs = 50
const tryAgainMs = 500
/** Callers whose last count is remembered: some 5 MB. */
const maxRemembered = 20_000

const script = readFileSync(new URL('../lua/count-requests.lua', import.meta.url), 'utf8')

/**
 * Counts requests in windows that all gateways share through Redis: one command for all requests of one turn of the event
 * loop. While Redis does not answer, this gateway goes on alone from the last counts it has seen.
 */
export class RequestCounts {
  readonly #redis: CountingRedis | undefined
  readonly #keyPrefix: string
  readonly #onFault: RequestCountsOptions['onFault']
  readonly #now: () => number
  readonly #known = new LRUCache<string, { count: number; endsAtMs: number }>({ max: maxRemembered })
  #batch = new Map<string, { windowMs: number; answers: Answer[] }>()
  /** Set while Redis is not to be asked. */
  #nextTry: NodeJS.Timeout | undefined
  #closed = false

  constructor({ redis, pool, onFault, now = () => performance.now() }: RequestCountsOptions) {
    redis?.defineCommand('countRequests', { lua: script })
    this.#redis = redis as CountingRedis | undefined
    this.#keyPrefix = `{requests:${pool}}:`
    this.#onFault = onFault
    this.#now = now
  }

  /** Counts one request; `answer` is called once, within 50 ms, and at once when Redis is not to be asked. */
  add(window: CallerWindow, answer: Answer): void {
    const full = this.refusal(window)
    if (full) answer(full)
    else if (this.#redis === undefined || this.#nextTry !== undefined) answer(this.#countHere(window))
    else this.#join(window, answer)
  }

  #join(window: CallerWindow, answer: Answer): void {
    if (this.#batch.size === 0) setImmediate(() => this.#send())
    const waiting = this.#batch.get(window.key)
    if (waiting) waiting.answers.push(answer)
    else this.#batch.set(window.key, { windowMs: window.windowMs, answers: [answer] })
  }

  /** The window as far as it is known here, when it is known to have let `max` requests and one more in. */
  refusal({ key, max }: Omit<CallerWindow, 'windowMs'>): Counted | undefined {
    const known = this.#known.get(key)
    if (known === undefined || known.count <= max) return undefined
    const endsInMs = known.endsAtMs - this.#now()
    return endsInMs > 0 ? { count: known.count, endsInMs } : undefined
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#nextTry)
  }

  #send(): void {
    const batch = this.#batch
    this.#batch = new Map()
    let settled = false
    const settle = (counts: number[] | null | undefined, cause: unknown) => {
      if (settled) return // too late: it was counted here too, which errs on the low side
      settled = true
      clearTimeout(timer)
      if (counts) this.#answer(batch, counts)
      else this.#goOnAlone(batch, cause)
    }
    // When the event loop was blocked, an answer may lie there unread: it is read before an immediate.
    const timer = setTimeout(() => setImmediate(settle, null, new Error('Redis is late')), answerWithinMs)
    this.#count(batch, (error, counts) => settle(counts, error))
  }

  #count(batch: Map<string, { windowMs: number; answers: Answer[] }>, done: CountsCallback): void {
    const keys: string[] = []
    const terms: number[] = []
    for (const [key, { windowMs, answers }] of batch) {
      keys.push(this.#keyPrefix + key)
      terms.push(answers.length, windowMs)
    }
    this.#redis?.countRequests(keys.length, ...keys, ...terms, done)
  }

  #answer(batch: Map<string, { answers: Answer[] }>, counts: number[]): void {
    let at = 0
    for (const [key, { answers }] of batch) {
      const count = counts[at++] as number
      const endsInMs = counts[at++] as number
      this.#known.set(key, { count, endsAtMs: this.#now() + endsInMs })
      const before = count - answers.length
      for (const [index, answer] of answers.entries()) answer({ count: before + index + 1, endsInMs })
    }
  }

  #goOnAlone(batch: Map<string, { windowMs: number; answers: Answer[] }>, cause: unknown): void {
    if (this.#nextTry === undefined) {
      this.#onFault({ state: 'degraded', cause })
      this.#tryLater()
    }
    for (const [key, { windowMs, answers }] of batch) {
      for (const answer of answers) answer(this.#countHere({ key, windowMs }))
    }
  }

  /** Counts nothing, where the counts are: in a cluster another node's answer would mean little. */
  #tryLater(): void {
    if (this.#closed) return
    this.#nextTry = setTimeout(() => {
      this.#count(new Map([['try', { windowMs: 1_000, answers: [] }]]), (error) => {
        if (error) return this.#tryLater()
        this.#nextTry = undefined
        this.#onFault({ state: 'recovered' })
      })
    }, tryAgainMs).unref()
  }

  #countHere({ key, windowMs }: Omit<CallerWindow, 'max'>): Counted {
    const now = this.#now()
    const known = this.#known.get(key)
    if (known && known.endsAtMs > now) return { count: ++known.count, endsInMs: known.endsAtMs - now }
    this.#known.set(key, { count: 1, endsAtMs: now + windowMs })
    return { count: 1, endsInMs: windowMs }
  }
}

type CountsCallback = (error: Error | null | undefined, counts?: number[]) => void

type CountingRedis = (Redis | Cluster) & {
  countRequests(keys: number, ...keysThenTermsThenCallback: (string | number | CountsCallback)[]): void
}
