import type { DayEnds } from './calendar-day.ts'
import { limitTypes } from './ceilings.ts'
import { factorAt, recoveredInMs, type Shrinkage, shrinkLimit, whole } from './shrinkage.ts'
import type { LimitType, QuotaLimits } from './types.ts'

export const bucketsPerWindow = 240
/** A power of two above the 241 buckets that a decision looks at. */
const slots = 256
const dayMs = 86_400_000

export interface Amount {
  requests: number
  tokens: number
}

/** Where a reservation was charged: the way back for a refund, the address of an overrun. */
export interface Charge {
  bucket: number
  dayEndMs: number
}

export interface Shortage {
  limitType: LimitType
  retryAfterMs: number
}

/**
 * What one pool or tenant has used: a ring of buckets for the window and a counter for the calendar day. The twin of
 * lua/account.lua; the two are compared operation by operation in test/twins.test.ts.
 */
export class Account {
  readonly #windowMs: number
  readonly #requests = new Float64Array(slots)
  readonly #tokens = new Float64Array(slots)
  #bucket = 0
  #sum: Amount = { requests: 0, tokens: 0 }
  #day: Amount = { requests: 0, tokens: 0 }
  #dayEndMs = 0
  shrinkage: Shrinkage = whole

  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  get window(): Readonly<Amount> {
    return this.#sum
  }

  get day(): Readonly<Amount> {
    return this.#day
  }

  get dayEndMs(): number {
    return this.#dayEndMs
  }

  bucketAt(atMs: number): number {
    return Math.floor((atMs * bucketsPerWindow) / this.#windowMs)
  }

  /** Moves on to now. A clock that stepped back is waited for; one that stepped back by more than a window is followed. */
  roll(nowMs: number, dayEnds: DayEnds): void {
    const bucket = this.bucketAt(nowMs)
    if (bucket > this.#bucket) this.#advance(bucket)
    else if (this.#bucket - bucket > bucketsPerWindow) this.#foldInto(bucket)
    if (nowMs >= this.#dayEndMs || this.#dayEndMs > dayEnds[2]) {
      if (nowMs >= this.#dayEndMs) this.#day = { requests: 0, tokens: 0 }
      this.#dayEndMs =
        dayEnds.find((end) => end > nowMs) ?? dayEnds[2] + (Math.floor((nowMs - dayEnds[2]) / dayMs) + 1) * dayMs
    }
  }

  /** The limit that refuses these amounts for longest, and for how long; undefined when they fit. Call `roll` before. */
  shortage(ceilings: QuotaLimits, amount: Amount, nowMs: number): Shortage | undefined {
    let longest: Shortage | undefined
    for (const limitType of limitTypes) {
      const retryAfterMs = this.#waitFor(limitType, ceilings[limitType], amount, nowMs)
      if (retryAfterMs > (longest?.retryAfterMs ?? 0)) longest = { limitType, retryAfterMs }
    }
    return longest
  }

  charge(amount: Amount): Charge {
    const charge = { bucket: this.#bucket, dayEndMs: this.#dayEndMs }
    this.adjust(charge, amount)
    return charge
  }

  /** Adds to (or, negative, takes from) the bucket and the day of a charge; what has left them changes nothing any more. */
  adjust(charge: Charge, by: Amount): void {
    if (this.#bucket - charge.bucket <= bucketsPerWindow) {
      const future = charge.bucket > this.#bucket
      const slot = slotOf(future ? this.#bucket : charge.bucket)
      const requests = future ? Math.max(0, by.requests) : Math.max(-at(this.#requests, slot), by.requests)
      const tokens = future ? Math.max(0, by.tokens) : Math.max(-at(this.#tokens, slot), by.tokens)
      this.#requests[slot] = at(this.#requests, slot) + requests
      this.#tokens[slot] = at(this.#tokens, slot) + tokens
      this.#sum.requests += requests
      this.#sum.tokens += tokens
    }
    if (charge.dayEndMs !== this.#dayEndMs) return
    this.#day.requests = Math.max(0, this.#day.requests + by.requests)
    this.#day.tokens = Math.max(0, this.#day.tokens + by.tokens)
  }

  /** Until the oldest use of requests or tokens leaves the window; 0 when there is none. */
  oldestLeavesInMs(kind: keyof Amount, nowMs: number): number {
    const ring = kind === 'requests' ? this.#requests : this.#tokens
    for (let bucket = this.#bucket - bucketsPerWindow; bucket <= this.#bucket; bucket++)
      if (at(ring, slotOf(bucket)) > 0) return this.#leavesAtMs(bucket) - nowMs
    return 0
  }

  #waitFor(limitType: LimitType, ceiling: number, amount: Amount, nowMs: number): number {
    const kind = limitType.startsWith('r') ? 'requests' : 'tokens'
    if (limitType.endsWith('d')) return this.#day[kind] + amount[kind] > ceiling ? Math.ceil(this.#dayEndMs - nowMs) : 0
    const limit = shrinkLimit(ceiling, factorAt(this.shrinkage, nowMs, this.#windowMs))
    const excess = this.#sum[kind] + amount[kind] - limit
    if (excess <= 0) return 0
    const wait = this.#freedInMs(kind, excess, nowMs)
    if (amount[kind] <= limit) return wait
    const at = { limit: ceiling, amount: amount[kind], nowMs, windowMs: this.#windowMs }
    return Math.max(wait, recoveredInMs(this.shrinkage, at))
  }

  /** When the oldest buckets that together hold `excess` have left. */
  #freedInMs(kind: keyof Amount, excess: number, nowMs: number): number {
    const ring = kind === 'requests' ? this.#requests : this.#tokens
    let freed = 0
    for (let bucket = this.#bucket - bucketsPerWindow; bucket <= this.#bucket; bucket++) {
      freed += at(ring, slotOf(bucket))
      if (freed >= excess) return this.#leavesInMs(bucket, nowMs)
    }
    return this.#leavesInMs(this.#bucket, nowMs)
  }

  #leavesAtMs(bucket: number): number {
    return ((bucket + bucketsPerWindow + 1) * this.#windowMs) / bucketsPerWindow
  }

  /** One millisecond more than the arithmetic says, because Node's timers may fire that much early. */
  #leavesInMs(bucket: number, nowMs: number): number {
    return Math.ceil(this.#leavesAtMs(bucket) - nowMs) + 1
  }

  #advance(bucket: number): void {
    const oldest = this.#bucket - bucketsPerWindow
    const leaving = Math.min(bucket - this.#bucket, bucketsPerWindow + 1)
    for (let gone = oldest; gone < oldest + leaving; gone++) this.#empty(slotOf(gone))
    this.#bucket = bucket
  }

  #foldInto(bucket: number): void {
    const { requests, tokens } = this.#sum
    this.#requests.fill(0)
    this.#tokens.fill(0)
    this.#bucket = bucket
    this.#requests[slotOf(bucket)] = requests
    this.#tokens[slotOf(bucket)] = tokens
  }

  #empty(slot: number): void {
    this.#sum.requests -= at(this.#requests, slot)
    this.#sum.tokens -= at(this.#tokens, slot)
    this.#requests[slot] = 0
    this.#tokens[slot] = 0
  }
}

function at(ring: Float64Array, slot: number): number {
  return ring[slot] ?? 0
}

function slotOf(bucket: number): number {
  return bucket & (slots - 1)
}
