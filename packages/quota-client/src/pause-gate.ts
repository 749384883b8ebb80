import { noPause } from './store.ts'
import type { Pause } from './types.ts'

export interface Shut {
  limitType: Pause['limitType']
  retryAfterMs: number
}

/**
 * One instance's view of the provider's pauses: shut until the pause ends, then open for one probe, then, when the
 * probe has been served, for all. A probe that never comes back is replaced after a sixth of a window.
 */
export class PauseGate {
  readonly #windowMs: number
  #pause = noPause
  /** The end of the last pause whose probe was served. */
  #passedMs = 0
  #probeUntilMs = 0

  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  get pause(): Pause {
    return this.#pause
  }

  get passedMs(): number {
    return this.#passedMs
  }

  /** Hears of a pause, from the caller or from the fleet. The later end counts. */
  learn(pause: Pause): void {
    if (pause.untilMs <= this.#pause.untilMs) return
    this.#pause = pause
    this.#probeUntilMs = 0
  }

  /** What shuts the gate at `nowMs` of the clock that pauses are told in; undefined when a call may go. */
  shut(nowMs: number): Shut | undefined {
    const { limitType, untilMs } = this.#pause
    if (nowMs < untilMs) return { limitType, retryAfterMs: Math.ceil(untilMs - nowMs) + 1 }
    if (this.#awaitsProbe(nowMs) && nowMs < this.#probeUntilMs)
      return { limitType, retryAfterMs: Math.ceil(this.#probeUntilMs - nowMs) + 1 }
    return undefined
  }

  /** Lets one call go; the end of the pause when that makes it the probe. */
  pass(nowMs: number): number | undefined {
    if (!this.#awaitsProbe(nowMs)) return undefined
    this.#probeUntilMs = nowMs + this.#windowMs / 6
    return this.#pause.untilMs
  }

  /** The probe came back: served opens the gate, anything else lets the next call be the probe. */
  probed(pauseEndMs: number, passed: boolean): void {
    if (pauseEndMs !== this.#pause.untilMs) return
    this.#probeUntilMs = 0
    if (passed) this.#passedMs = pauseEndMs
  }

  #awaitsProbe(nowMs: number): boolean {
    const { untilMs } = this.#pause
    return untilMs > 0 && untilMs !== this.#passedMs && nowMs < untilMs + this.#windowMs
  }
}
