import { Account, type Amount, type Charge, type Shortage } from './account.ts'
import type { DayEnds } from './calendar-day.ts'
import { tooLargeFor } from './ceilings.ts'
import type { FleetState } from './fleet-state.ts'
import type { QuotaLimits } from './types.ts'

export interface LastSight {
  state: FleetState
  /** Redis's time of that sight, in milliseconds. */
  atMs: number
}

/**
 * What one of `instances` may take of one account while nobody sees the others' use: limit ÷ instances, less the same
 * part of the fleet's last known use. Then all of them together stay within the limit.
 */
export class LocalShare {
  readonly #instances: number
  readonly #windowMs: number
  /** The share, and the whole as far as this instance knows it, for `usage`. */
  readonly #share: Account
  readonly whole: Account

  constructor(instances: number, windowMs: number) {
    this.#instances = instances
    this.#windowMs = windowMs
    this.#share = new Account(windowMs)
    this.whole = new Account(windowMs)
  }

  /**
   * Counts the fleet's last known use; with others there, all of the window as used now: what they took since it was seen,
   * and take until they know of the fault, may be all. Without a sight the account is taken for unused.
   */
  seed(sight: LastSight | undefined, at: { limits: QuotaLimits; nowMs: number; dayEnds: DayEnds }): void {
    this.roll(at.nowMs, at.dayEnds)
    if (sight === undefined) return
    const { state } = sight
    const trusted = this.#instances === 1
    const use = trusted ? state.window : { requests: at.limits.rpm, tokens: at.limits.tpm }
    const bucket = trusted ? this.#share.bucketAt(sight.atMs) : this.#share.bucketAt(at.nowMs)
    for (const [account, parts] of [
      [this.#share, this.#instances],
      [this.whole, 1],
    ] as const) {
      account.shrinkage = state.shrinkage
      const part = (amount: Amount) => ({ requests: amount.requests / parts, tokens: amount.tokens / parts })
      account.adjust({ bucket, dayEndMs: 0 }, part(use))
      account.adjust({ bucket: Number.NEGATIVE_INFINITY, dayEndMs: state.dayEndMs }, part(state.day))
    }
  }

  roll(nowMs: number, dayEnds: DayEnds): void {
    this.#share.roll(nowMs, dayEnds)
    this.whole.roll(nowMs, dayEnds)
  }

  /** What refuses; a request that is larger than the share is told to come back in a window. Call `roll` before. */
  shortage(ceilings: QuotaLimits, amount: Amount, nowMs: number): Shortage | undefined {
    const { rpm, rpd, tpm, tpd } = ceilings
    const parts = this.#instances
    const share = { rpm: rpm / parts, rpd: rpd / parts, tpm: tpm / parts, tpd: tpd / parts }
    const tooLarge = tooLargeFor(share, amount.requests, amount.tokens)
    if (tooLarge !== undefined) return { limitType: tooLarge, retryAfterMs: this.#windowMs }
    const shortage = this.#share.shortage(share, amount, nowMs)
    if (shortage === undefined || shortage.limitType.endsWith('d')) return shortage
    return { ...shortage, retryAfterMs: Math.min(shortage.retryAfterMs, this.#windowMs) }
  }

  charge(amount: Amount): Charge {
    this.whole.charge(amount)
    return this.#share.charge(amount)
  }

  adjust(charge: Charge, by: Amount): void {
    this.#share.adjust(charge, by)
    this.whole.adjust(charge, by)
  }
}
