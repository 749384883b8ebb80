import type { LimitType, QuotaLimits } from '../types.ts'
import type { DayEnds } from './calendar-day.ts'
import { limitTypes } from './limits.ts'
import { factorAt, recoveredInMs, type Shrinkage, shrinkLimit, whole } from './pauses.ts'

export const bucketsPerRing = 240
const dayMs = 86_400_000

/** Requests and tokens. */
export interface Amount {
  requests: number
  tokens: number
}

/** Where a reservation was charged. */
export interface Charge {
  bucket: number
  dayEndMs: number
}

/** The time for the ring, which never steps, and the time for the day, both in milliseconds since the epoch. */
export interface Now {
  ringMs: number
  dayMs: number
}

interface Needed {
  ceiling: number
  amount: number
  now: Now
  before: number
}

/**
 * What one pool or tenant has used: the filled buckets of the ring and a counter for the calendar day. It decides as
 * lua/account.lua does; test/twins.test.ts compares them operation by operation.
 */
export class Account {
  readonly #ringMs: number
  /** Oldest first; the last may be the current one. */
  #ring: (Amount & { bucket: number })[] = []
  #bucket = 0
  window: Amount = { requests: 0, tokens: 0 }
  day: Amount = { requests: 0, tokens: 0 }
  dayEndMs = 0
  shrinkage: Shrinkage = whole

  constructor(ringMs: number) {
    this.#ringMs = ringMs
  }

  /** Moves on to now. Call it before anything else. */
  roll(now: Now, dayEnds: DayEnds): void {
    this.#bucket = Math.floor((now.ringMs * bucketsPerRing) / this.#ringMs)
    const isOld = ({ bucket }: { bucket: number }) => this.#bucket - bucket > bucketsPerRing
    for (let first = this.#ring[0]; first && isOld(first); first = this.#ring[0]) {
      add(this.window, { requests: -first.requests, tokens: -first.tokens })
      this.#ring.shift()
    }
    if (now.dayMs < this.dayEndMs && this.dayEndMs <= dayEnds[2]) return
    if (now.dayMs >= this.dayEndMs) this.day = { requests: 0, tokens: 0 }
    this.dayEndMs =
      dayEnds.find((end) => end > now.dayMs) ?? dayEnds[2] + (Math.floor((now.dayMs - dayEnds[2]) / dayMs) + 1) * dayMs
  }

  /**
   * The limit that refuses these amounts for longest, and for how long; undefined when they fit. `before`: so many calls of
   * the same size are to start first.
   */
  shortage(
    ceilings: QuotaLimits,
    amount: Amount,
    now: Now,
    before = 0,
  ): { limitType: LimitType; retryAfterMs: number } | undefined {
    const waits = limitTypes.map((limitType) => {
      const kind = limitType.startsWith('r') ? 'requests' : 'tokens'
      const wait = limitType.endsWith('m') ? this.#ringWaitMs : this.#dayWaitMs
      return {
        limitType,
        retryAfterMs: wait.call(this, kind, { ceiling: ceilings[limitType], amount: amount[kind], now, before }),
      }
    })
    const longest = waits.reduce((one, other) => (other.retryAfterMs > one.retryAfterMs ? other : one))
    return longest.retryAfterMs > 0 ? longest : undefined
  }

  /** A limit of the window as it is shrunk now. */
  shrunk(limit: number, now: Now): number {
    return shrinkLimit(limit, factorAt(this.shrinkage, now.ringMs, this.#ringMs))
  }

  charge(amount: Amount): Charge {
    if (this.#ring.at(-1)?.bucket !== this.#bucket) this.#ring.push({ bucket: this.#bucket, requests: 0, tokens: 0 })
    for (const sum of [this.#ring.at(-1) as Amount, this.window, this.day]) add(sum, amount)
    return { bucket: this.#bucket, dayEndMs: this.dayEndMs }
  }

  /** Adds to a charge or, negative, takes from it. What has left the ring is not taken back; an overrun of it counts for its day. */
  adjust(charge: Charge, by: Amount): void {
    const entry = this.#ring.find(({ bucket }) => bucket === charge.bucket)
    const change = { requests: 0, tokens: Math.max(0, by.tokens) }
    if (entry) {
      change.requests = Math.max(-entry.requests, by.requests)
      change.tokens = Math.max(-entry.tokens, by.tokens)
      add(entry, change)
      add(this.window, change)
    }
    if (charge.dayEndMs === this.dayEndMs) add(this.day, change)
  }

  /** Until the oldest use of requests or tokens leaves the ring; 0 when there is none. */
  oldestLeavesInMs(kind: keyof Amount, now: Now): number {
    const oldest = this.#ring.find((entry) => entry[kind] > 0)
    return oldest ? leavesAtMs(oldest.bucket, this.#ringMs) - now.ringMs : 0
  }

  #dayWaitMs(kind: keyof Amount, { ceiling, amount, now, before }: Needed): number {
    return this.day[kind] + (before + 1) * amount > ceiling ? Math.ceil(this.dayEndMs - now.dayMs) + 1 : 0
  }

  /** Until the oldest buckets have left that together hold what is too much; one more, because Node's timers may fire early. */
  #ringWaitMs(kind: keyof Amount, { ceiling, amount, now, before }: Needed): number {
    const factor = factorAt(this.shrinkage, now.ringMs, this.#ringMs)
    const limit = this.shrunk(ceiling, now)
    const perCycle = amount > 0 ? Math.max(1, Math.floor(limit / amount)) : Number.POSITIVE_INFINITY
    const excess = this.window[kind] + ((before % perCycle) + 1) * amount - limit
    const laterByMs = Math.floor(before / perCycle) * cycleMs(this.#ringMs)
    if (excess <= 0) return laterByMs
    let freed = 0
    let last = this.#bucket
    for (const entry of this.#ring) {
      freed += entry[kind]
      last = entry.bucket
      if (freed >= excess) break
    }
    const wait = Math.ceil(leavesAtMs(last, this.#ringMs) - now.ringMs) + 1 + laterByMs
    return amount <= limit ? wait : Math.max(wait, recoveredInMs(amount / ceiling, factor, this.#ringMs))
  }
}

/** When a bucket has left the ring, in the ring's time. */
export function leavesAtMs(bucket: number, ringMs: number): number {
  return ((bucket + bucketsPerRing + 1) * ringMs) / bucketsPerRing
}

/** The starts of a full ring repeat themselves after so long. */
export function cycleMs(ringMs: number): number {
  return (ringMs * (bucketsPerRing + 1)) / bucketsPerRing
}

function add(sum: Amount, { requests, tokens }: Amount): void {
  sum.requests += requests
  sum.tokens += tokens
}
