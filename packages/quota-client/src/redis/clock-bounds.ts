import type { Runtime } from '../types.ts'

/** Relative rate by which Redis's clock and this instance's may drift apart; NTP corrects by at most half of it. */
const driftRate = 0.001

/**
 * What this instance knows of (Redis's time − its own monotonic time). Each reply was made between its call and its arrival,
 * so it gives an interval. The known interval, widened by the drift since, and the new one must overlap: otherwise a clock has
 * stepped, or this machine was paused. Over one window an undetected step is shorter than the interval's width + 0.2 % of the
 * window. The wall clock is no witness: on a single machine it steps together with Redis's.
 */
export class ClockBounds {
  readonly #runtime: Runtime
  readonly #forgetAfterMs: number
  readonly #slackMs: number
  /** As of `atMs`, when they were last narrowed. */
  #bounds: { low: number; high: number; atMs: number } | undefined
  /** Since when the bounds have held without a gap or a step, on the monotonic clock. */
  sinceMs = Number.POSITIVE_INFINITY

  constructor(runtime: Runtime, { windowMs, slackMs }: { windowMs: number; slackMs: number }) {
    this.#runtime = runtime
    this.#forgetAfterMs = windowMs
    this.#slackMs = slackMs
  }

  /** Takes a reply in. True when a clock has stepped since the one before. */
  learn(redisMs: number, sentMs: number): boolean {
    const atMs = this.#runtime.monotonicMs()
    const [low, high] = [redisMs - atMs, redisMs - sentMs]
    const known = this.#known(atMs)
    if (known !== undefined && low <= known.high && high >= known.low) {
      this.#bounds = { low: Math.max(low, known.low), high: Math.min(high, known.high), atMs }
      return false
    }
    this.#bounds = { low, high, atMs }
    this.sinceMs = atMs
    return known !== undefined
  }

  /** For how long any step that matters would have been seen, in milliseconds; undefined while none would be. */
  watchedForMs(): number | undefined {
    const nowMs = this.#runtime.monotonicMs()
    const known = this.#known(nowMs)
    if (known === undefined || known.high - known.low > this.#slackMs / 2) return undefined
    return nowMs - this.sinceMs
  }

  /** Redis's time, in milliseconds since the epoch: the earliest that it may be. The wall clock's as long as nothing is known. */
  nowMs(): number {
    return this.#bounds === undefined ? this.#runtime.wallMs() : this.#runtime.monotonicMs() + this.#bounds.low
  }

  get isKnown(): boolean {
    return this.#bounds !== undefined
  }

  /** The interval as of now; unknown after a window without a reply. */
  #known(atMs: number): { low: number; high: number } | undefined {
    const bounds = this.#bounds
    if (bounds === undefined || atMs - bounds.atMs > this.#forgetAfterMs) return undefined
    const drift = (atMs - bounds.atMs) * driftRate
    return { low: bounds.low - drift, high: bounds.high + drift }
  }
}
