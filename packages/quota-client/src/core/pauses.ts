import type { Pause, PauseRequest } from '../types.ts'

const noPause: Pause = { limitType: 'upstream', untilMs: 0 }

export interface Closed {
  limitType: Pause['limitType']
  retryAfterMs: number
}

/**
 * One instance's view of the provider's pauses: closed until the pause ends, then open for one probe, then, when the
 * provider has served it, for all. A probe that never returns is replaced after a sixth of a window.
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

  /** Takes over a pause of this instance or of the pool. The later end counts. */
  learn(pause: Pause): void {
    if (pause.untilMs <= this.#pause.untilMs) return
    this.#pause = pause
    this.#probeUntilMs = 0
  }

  /** What closes the gate at `nowMs`, milliseconds since the epoch; undefined when a call may go. */
  closed(nowMs: number): Closed | undefined {
    const { limitType, untilMs } = this.#pause
    if (nowMs < untilMs) return { limitType, retryAfterMs: Math.ceil(untilMs - nowMs) + 1 }
    if (this.awaitsProbe(nowMs) && nowMs < this.#probeUntilMs)
      return { limitType, retryAfterMs: Math.ceil(this.#probeUntilMs - nowMs) + 1 }
    return undefined
  }

  awaitsProbe(nowMs: number): boolean {
    const { untilMs } = this.#pause
    return untilMs > 0 && untilMs !== this.#passedMs && nowMs < untilMs + this.#windowMs
  }

  /** Lets one call go; the end of the pause when that makes it the probe. */
  pass(nowMs: number): number | undefined {
    if (!this.awaitsProbe(nowMs)) return undefined
    this.#probeUntilMs = nowMs + this.#windowMs / 6
    return this.#pause.untilMs
  }

  /** The probe has returned: `served` opens the gate, anything else makes the next call the probe. */
  probed(pauseEndMs: number, served: boolean): void {
    if (pauseEndMs !== this.#pause.untilMs) return
    this.#probeUntilMs = 0
    if (served) this.#passedMs = pauseEndMs
  }
}

/** How a provider's 429 is taken: until when, and whether the minute's limits shrink. See `QuotaClient.pause`. */
export function pauseLength(
  { limitType, untilMs }: PauseRequest,
  at: { nowMs: number; dayEndMs: number; ringMs: number },
): { pause: Pause; shrinks: boolean } {
  if (untilMs !== undefined) return { pause: { limitType, untilMs }, shrinks: false }
  if (limitType === 'rpd' || limitType === 'tpd') return { pause: { limitType, untilMs: at.dayEndMs }, shrinks: false }
  return { pause: { limitType, untilMs: at.nowMs + at.ringMs / 12 }, shrinks: true }
}

/** How far the limits of the minute are shrunk since the provider refused without naming a time. */
export interface Shrinkage {
  sinceMs: number
  /** Share of the limits at `sinceMs`; 1 when they are whole. */
  factor: number
}

export const whole: Shrinkage = { sinceMs: 0, factor: 1 }
const shrinkBy = 0.8
const smallestFactor = 0.2
/** A whole limit returns in 25 rings' lengths, so a fifth in five. Refusals within a sixth of one shrink it once. */
const recoveryRings = 25
const volleyRings = 1 / 6

/** The share of the limits in force now, 0.2 to 1: linear from the shrunk figure back to the whole. */
export function factorAt({ factor, sinceMs }: Shrinkage, nowMs: number, ringMs: number): number {
  return Math.min(1, factor + Math.max(0, nowMs - sinceMs) / (recoveryRings * ringMs))
}

/** A fifth less than what is in force now. */
export function shrunk(shrinkage: Shrinkage, nowMs: number, ringMs: number): Shrinkage {
  const factor = factorAt(shrinkage, nowMs, ringMs)
  if (factor < 1 && nowMs - shrinkage.sinceMs < ringMs * volleyRings) return shrinkage
  return { sinceMs: nowMs, factor: Math.max(smallestFactor, factor * shrinkBy) }
}

/** A limit under a factor: never less than one, so that a probe can always show that the provider serves again. */
export function shrinkLimit(limit: number, factor: number): number {
  return factor < 1 ? Math.max(Math.min(1, limit), Math.floor(limit * factor)) : limit
}

/** When a shrunk limit will again hold `share` (≤ 1) of its whole, in milliseconds. */
export function recoveredInMs(share: number, factor: number, ringMs: number): number {
  return Math.ceil((share - factor) * recoveryRings * ringMs) + 1
}
