/** Redis's time, as far as one instance can tell. Milliseconds since the epoch. */
export class RedisClock {
  readonly #ownClock: () => number
  readonly #elapsed: () => number
  #aheadOfElapsedMs: number | undefined

  /** `ownClock` is asked until Redis has answered once; `elapsed` only runs forward. */
  constructor({ clock, elapsed }: { clock: () => number; elapsed: () => number }) {
    this.#ownClock = clock
    this.#elapsed = elapsed
  }

  nowMs(): number {
    return this.#aheadOfElapsedMs === undefined ? this.#ownClock() : this.#elapsed() + this.#aheadOfElapsedMs
  }

  /**
   * An answer says what time it was at a moment between question and answer: the clock is moved no further than into
   * these bounds. So the quickest answers set it, a slow one leaves it alone, and it is hardly behind: use that is noted
   * with too early a time would leave the window too early.
   */
  learn(redisMs: number, askedAt: number): void {
    const most = redisMs - askedAt
    const least = redisMs - this.#elapsed()
    this.#aheadOfElapsedMs = Math.min(most, Math.max(least, this.#aheadOfElapsedMs ?? most))
  }
}
