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
  /** How long a request waits for Redis before it is counted here, in milliseconds. Default 50. */
  answerWithinMs?: number
  /** Milliseconds that only go forward. */
  now?: () => number
}

type Answer = (counted: Counted) => void
type Batch = Map<string, { windowMs: number; answers: Answer[] }>

const tryAgainMs = 500
/** Callers whose last count is remembered: some 5 MB. */
const maxRemembered = 20_000

const script = readFileSync(new URL('../lua/count-requests.lua', import.meta.url), 'utf8')

/**
 * Counts requests in windows that all gateways share through Redis: one command for all that come in one turn of the event
 * loop, or while the command before is under way. While Redis does not answer, this gateway goes on alone from the last counts it has seen.
 */
export class RequestCounts {
  readonly #redis: CountingRedis | undefined
  readonly #keyPrefix: string
  readonly #onFault: RequestCountsOptions['onFault']
  readonly #answerWithinMs: number
  readonly #now: () => number
  readonly #known = new LRUCache<string, { count: number; endsAtMs: number }>({ max: maxRemembered })
  #batch: Batch = new Map()
  #asking = false
  /** Set while Redis is not to be asked. */
  #nextTry: NodeJS.Timeout | undefined
  #closed = false

  constructor({ redis, pool, onFault, answerWithinMs = 50, now = () => performance.now() }: RequestCountsOptions) {
    redis?.defineCommand('countRequests', { lua: script })
    this.#redis = redis as CountingRedis | undefined
    this.#keyPrefix = `{requests:${pool}}:`
    this.#onFault = onFault
    this.#answerWithinMs = answerWithinMs
    this.#now = now
  }

  /** Counts one request; `answer` is called once, and at once when Redis is not to be asked. */
  add(window: CallerWindow, answer: Answer): void {
    const full = this.refusal(window)
    if (full) answer(full)
    else if (this.#redis === undefined || this.#nextTry !== undefined) answer(this.#countHere(window))
    else this.#join(window, answer)
  }

  #join({ key, windowMs }: CallerWindow, answer: Answer): void {
    const waiting = this.#batch.get(key)
    if (waiting) waiting.answers.push(answer)
    else this.#batch.set(key, { windowMs, answers: [answer] })
    if (this.#asking) return
    this.#asking = true
    setImmediate(() => this.#send())
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

  /** One command at a time: those who come meanwhile share the next one. */
  #send(): void {
    const batch = this.#takeBatch()
    let settled = false
    const settle = (counts: number[] | null | undefined, cause: unknown) => {
      if (settled) return // too late: it was counted here too, which errs on the low side
      settled = true
      clearTimeout(timer)
      if (counts) this.#answer(batch, counts)
      else this.#goOnAlone(batch, cause)
      if (this.#batch.size > 0) this.#send()
      else this.#asking = false
    }
    // When the event loop was blocked, an answer may lie there unread: it is read before an immediate.
    const timer = setTimeout(() => setImmediate(settle, null, new Error('Redis is late')), this.#answerWithinMs)
    this.#count(batch, (error, counts) => settle(counts, error))
  }

  #takeBatch(): Batch {
    const batch = this.#batch
    this.#batch = new Map()
    return batch
  }

  #count(batch: Batch, done: CountsCallback): void {
    const keys: string[] = []
    const terms: number[] = []
    for (const [key, { windowMs, answers }] of batch) {
      keys.push(this.#keyPrefix + key)
      terms.push(answers.length, windowMs)
    }
    this.#redis?.countRequests(keys.length, ...keys, ...terms, done)
  }

  #answer(batch: Batch, counts: number[]): void {
    let at = 0
    for (const [key, { answers }] of batch) {
      const count = counts[at++] as number
      const endsInMs = counts[at++] as number
      this.#known.set(key, { count, endsAtMs: this.#now() + endsInMs })
      const before = count - answers.length
      for (const [index, answer] of answers.entries()) answer({ count: before + index + 1, endsInMs })
    }
  }

  #goOnAlone(batch: Batch, cause: unknown): void {
    if (this.#nextTry === undefined) {
      this.#onFault({ state: 'degraded', cause })
      this.#tryLater()
    }
    for (const waiting of [batch, this.#takeBatch()]) {
      for (const [key, { windowMs, answers }] of waiting) {
        for (const answer of answers) answer(this.#countHere({ key, windowMs }))
      }
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
