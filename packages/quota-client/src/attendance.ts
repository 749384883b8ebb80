import type { FleetState } from './fleet-state.ts'

/** What this instance was granted counts half after this many windows, when it is weighed against the others'. */
const halfLifeWindows = 2

/** This instance among the others: when it says that it is there, whether it goes without, and its fair part. */
export class Attendance {
  readonly beatMs: number
  readonly goneAfterMs: number
  readonly hungryForMs: number
  readonly #windowMs: number
  readonly #beat: () => void
  #timer: NodeJS.Timeout | undefined
  #hungry = false
  #wasHungryAtMs = Number.NEGATIVE_INFINITY
  #use = 0
  #useAtMs = 0
  #taken = { bucket: 0, requests: 0, tokens: 0 }
  #seniorAtMs: number | undefined

  constructor(windowMs: number, beat: () => void) {
    this.#windowMs = windowMs
    this.beatMs = Math.min(1000, Math.max(50, windowMs / 60))
    this.goneAfterMs = windowMs + 5 * this.beatMs
    this.hungryForMs = 2.5 * this.beatMs
    this.#beat = beat
  }

  get started(): boolean {
    return this.#timer !== undefined
  }

  /** From the first reservation on; a client that only reads does not attend. */
  start(): void {
    this.#timer = setInterval(this.#beat, this.beatMs)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** Redis has counted this instance for the first time, at `nowMs`, among `instances`. */
  registered(instances: number, nowMs: number): void {
    this.#seniorAtMs ??= instances > 1 ? nowMs + 3 * this.beatMs : nowMs
  }

  /** The others cannot all have heard of this one yet: their shares do not leave it any. */
  isJunior(atMs: number, instances: number): boolean {
    return this.#seniorAtMs === undefined ? instances > 0 : atMs < this.#seniorAtMs
  }

  refused(): void {
    this.#hungry = true
  }

  granted(bucket: number, amount: { requests: number; tokens: number }, nowMs: number): void {
    this.#use = this.#useNow(nowMs) + amount.requests
    this.#useAtMs = nowMs
    if (this.#taken.bucket !== bucket) this.#taken = { bucket, requests: 0, tokens: 0 }
    this.#taken.requests += amount.requests
    this.#taken.tokens += amount.tokens
  }

  /** What a beat says: the use lately of an instance that was refused since the last one, else empty. */
  hungryUse(nowMs: number): string {
    if (!this.#hungry) return ''
    this.#hungry = false
    this.#wasHungryAtMs = nowMs
    return this.#useNow(nowMs).toFixed(3)
  }

  /**
   * The part of what is free that this instance may take in one bucket while several go without, as reserve.lua reads
   * it: an equal one, more after it got less than the others, and less after it got more.
   */
  fairPart(state: FleetState, nowMs: number): string {
    if (state.hungry === 0) return ''
    const counted = nowMs - this.#wasHungryAtMs <= this.hungryForMs
    const hungry = state.hungry + (counted ? 0 : 1)
    if (hungry < 2) return ''
    const own = this.#useNow(nowMs)
    const all = Math.max(own, state.hungryUse + (counted ? 0 : own))
    const share = Math.min(1, Math.max(0, all === 0 ? 1 / hungry : 2 / hungry - own / all))
    const { bucket, requests, tokens } = this.#taken
    return `${share.toFixed(4)},${bucket},${requests},${tokens}`
  }

  #useNow(nowMs: number): number {
    return this.#use * 0.5 ** (Math.max(0, nowMs - this.#useAtMs) / (halfLifeWindows * this.#windowMs))
  }
}
