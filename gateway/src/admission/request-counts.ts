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
type Batch = Map<string, { window: CallerWindow; answers: Answer[] }>

/** A window as it was last seen. */
interface Known {
  count: number
  endsAtMs: number
  askedAtMs: number
  /** Counted here since. */
  used: number
  /** Counted in Redis already, for requests that may come until `heldUntilMs`. */
  held: number
  heldUntilMs: number
}

const tryAgainMs = 500
/** What a caller asks in this time, at the pace it has, is counted ahead; so only for clients with more than ten requests a second. */
const aheadMs = 100
/** Callers whose last count is remembered: some 5 MB. */
const maxRemembered = 20_000

const script = readFileSync(new URL('../../lua/count-requests.lua', import.meta.url), 'utf8')

/**
 * Counts requests in windows that all gateways share through Redis: one command for all that come in one turn of the event
 * loop, or while the command before is under way. For a high-rate client it counts ahead, a sixteenth of what is
 * left at most, and gives back with the next command what was not asked: no limit is exceeded, and one of less than sixteen
 * is never refused too early. While Redis does not answer, this gateway goes on alone from the last counts it has seen.
 */
export class RequestCounts {
  readonly #redis: CountingRedis | undefined
  readonly #keyPrefix: string
  readonly #onFault: RequestCountsOptions['onFault']
  readonly #answerWithinMs: number
  readonly #now: () => number
  readonly #known = new LRUCache<string, Known>({ max: maxRemembered })
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
    const isAlone = this.#redis === undefined || this.#nextTry !== undefined
    const counted = this.refusal(window) ?? (isAlone ? this.#countHere(window) : this.#takeHeld(window.key))
    if (counted) answer(counted)
    else this.#join(window, answer)
  }

  #takeHeld(key: string): Counted | undefined {
    const known = this.#known.get(key)
    if (known === undefined || known.held === 0) return undefined
    const nowMs = this.#now()
    if (nowMs >= known.heldUntilMs) return undefined
    known.held--
    known.used++
    return { count: ++known.count, endsInMs: known.endsAtMs - nowMs }
  }

  #join(window: CallerWindow, answer: Answer): void {
    const waiting = this.#batch.get(window.key)
    if (waiting) waiting.answers.push(answer)
    else this.#batch.set(window.key, { window, answers: [answer] })
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
    for (const [key, { window, answers }] of batch) {
      const { back, ahead } = this.#aheadOf(key, answers)
      keys.push(this.#keyPrefix + key)
      terms.push(answers.length, back, ahead, window.max, window.windowMs)
    }
    this.#redis?.countRequests(keys.length, ...keys, ...terms, done)
  }

  /**
   * What was counted ahead for this window and not asked, and what is to be counted ahead now. The first who wait have the
   * places that were counted ahead: behind another gateway's crowd they would find none.
   */
  #aheadOf(key: string, answers: Answer[]): { back: number; ahead: number } {
    const known = this.#known.get(key)
    const nowMs = this.#now()
    if (known === undefined || nowMs >= known.endsAtMs) return { back: 0, ahead: 0 }
    const ahead = Math.floor((known.used * aheadMs) / Math.max(1, nowMs - known.askedAtMs))
    for (const answer of answers.splice(0, known.held)) {
      known.held--
      answer({ count: ++known.count, endsInMs: known.endsAtMs - nowMs })
    }
    const back = known.held
    known.held = 0
    return { back, ahead }
  }

  #answer(batch: Batch, counts: number[]): void {
    let at = 0
    const askedAtMs = this.#now()
    for (const [key, { answers }] of batch) {
      const count = counts[at++] as number
      const held = counts[at++] as number
      const endsInMs = counts[at++] as number
      const endsAtMs = askedAtMs + endsInMs
      const heldUntilMs = Math.min(endsAtMs, askedAtMs + aheadMs)
      this.#known.set(key, { count, endsAtMs, askedAtMs, used: answers.length, held, heldUntilMs })
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
      for (const { window, answers } of waiting.values()) {
        for (const answer of answers) answer(this.#countHere(window))
      }
    }
  }

  /** Counts nothing, where the counts are: in a cluster another node's answer would mean little. */
  #tryLater(): void {
    if (this.#closed) return
    this.#nextTry = setTimeout(() => {
      this.#count(new Map([['try', { window: { key: 'try', windowMs: 1_000, max: 0 }, answers: [] }]]), (error) => {
        if (error) return this.#tryLater()
        this.#nextTry = undefined
        this.#onFault({ state: 'recovered' })
      })
    }, tryAgainMs).unref()
  }

  #countHere({ key, windowMs }: CallerWindow): Counted {
    const askedAtMs = this.#now()
    const known = this.#known.get(key)
    if (known && known.endsAtMs > askedAtMs) return { count: ++known.count, endsInMs: known.endsAtMs - askedAtMs }
    this.#known.set(key, { count: 1, endsAtMs: askedAtMs + windowMs, askedAtMs, used: 1, held: 0, heldUntilMs: 0 })
    return { count: 1, endsInMs: windowMs }
  }
}

type CountsCallback = (error: Error | null | undefined, counts?: number[]) => void

type CountingRedis = (Redis | Cluster) & {
  countRequests(keys: number, ...keysThenTermsThenCallback: (string | number | CountsCallback)[]): void
}
