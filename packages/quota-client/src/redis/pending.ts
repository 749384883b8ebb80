import type { Amount, Charge } from '../core/account.ts'
import type { Settings } from '../core/store.ts'
import type { QuotaLimits, Runtime } from '../types.ts'

/** What is to be changed at the charges of one bucket and day. Tokens to add and amounts to take back are kept apart. */
interface Adjustment {
  addTokens: number
  takeRequests: number
  takeTokens: number
}

/** Adjustments on their way. */
interface SentAdjustments {
  account: string
  /** As the script reads them; empty when there are none. */
  text: string
  byCharge: Map<string, Adjustment>
}

/** Settlements and releases that wait to ride on a call: of the pool (account '') and of its tenants (their ids). */
export class Adjustments {
  readonly #waiting = new Map<string, Map<string, Adjustment>>()

  /** Accounts for which something waits. */
  accounts(): string[] {
    return [...this.#waiting.keys()]
  }

  add(account: string, charge: Charge, by: Amount): void {
    this.#merge(account, `${charge.bucket},${charge.dayEndMs}`, {
      addTokens: Math.max(0, by.tokens),
      takeRequests: Math.max(0, -by.requests),
      takeTokens: Math.max(0, -by.tokens),
    })
  }

  /** Takes what waits for one account out, to be sent. Follow with `notDone` or `unknown` unless it was done. */
  take(account: string): SentAdjustments {
    const byCharge = this.#waiting.get(account)
    if (byCharge === undefined) return { account, text: '', byCharge: new Map() }
    this.#waiting.delete(account)
    let text = ''
    for (const [charge, { addTokens, takeRequests, takeTokens }] of byCharge)
      text += `${charge},${addTokens},${takeRequests},${takeTokens};`
    return { account, text, byCharge }
  }

  /** The call was surely not carried out. */
  notDone(sent: SentAdjustments): void {
    for (const [charge, adjustment] of sent.byCharge) this.#merge(sent.account, charge, adjustment)
  }

  /** The call may have been carried out: overruns are sent again (twice is safe), what was to be taken back stays charged. */
  unknown(sent: SentAdjustments): void {
    for (const [charge, adjustment] of sent.byCharge)
      if (adjustment.addTokens > 0) this.#merge(sent.account, charge, { ...adjustment, takeRequests: 0, takeTokens: 0 })
  }

  /** A new incarnation: the charges to take back from are gone. Overruns still count for the day. */
  forgetTakeBacks(): void {
    for (const account of this.accounts()) this.unknown(this.take(account))
  }

  #merge(account: string, charge: string, by: Adjustment): void {
    let byCharge = this.#waiting.get(account)
    if (byCharge === undefined) {
      byCharge = new Map()
      this.#waiting.set(account, byCharge)
    }
    const adjustment = byCharge.get(charge)
    if (adjustment === undefined) {
      byCharge.set(charge, { ...by })
      return
    }
    adjustment.addTokens += by.addTokens
    adjustment.takeRequests += by.takeRequests
    adjustment.takeTokens += by.takeTokens
  }
}

/** Rows of one statement; more wait for the next heartbeat. */
const largestStatement = 500

interface DaySeen {
  dayEndMs: number
  day: Amount
  atMs: number
  /** Most that one ring may hold. */
  perRing: Amount
}

interface Statement {
  accounts: string[]
  /** As the script reads it. */
  text: string
}

/** What this instance knows of the day's use, of the pool ('') and of tenants, to restate it to a state that has lost it. */
export class DayKnowledge {
  readonly #settings: Settings
  readonly #runtime: Runtime
  #seen = new Map<string, DaySeen>()
  /** What was seen before the present incarnation, until the state has taken it in. */
  #untold = new Map<string, DaySeen>()

  constructor(settings: Settings, runtime: Runtime) {
    this.#settings = settings
    this.#runtime = runtime
  }

  see(account: string, seen: { day: Amount; dayEndMs: number }, limits: Partial<QuotaLimits> = {}): void {
    const { rpm, tpm } = this.#settings.limits
    const perRing = { requests: Math.min(rpm, limits.rpm ?? rpm), tokens: Math.min(tpm, limits.tpm ?? tpm) }
    this.#seen.set(account, { day: seen.day, dayEndMs: seen.dayEndMs, perRing, atMs: this.#runtime.monotonicMs() })
  }

  /** What was seen before is told to the new one; what is still untold knew more. Days that have ended are forgotten. */
  newIncarnation(dayEndMs: number): void {
    this.#untold = new Map([...this.#seen, ...this.#untold].filter(([, seen]) => seen.dayEndMs >= dayEndMs))
    this.#seen = new Map()
  }

  /** For each account an upper bound: what was seen, and what every ring since then may have held. Undefined when all is told. */
  statement(): Statement | undefined {
    if (this.#untold.size === 0) return undefined
    const nowMs = this.#runtime.monotonicMs()
    const rows = [...this.#untold].slice(0, largestStatement).map(([account, { dayEndMs, day, atMs, perRing }]) => {
      const rings = Math.floor((nowMs - atMs) / this.#settings.ringMs) + 1
      return [account, dayEndMs, day.requests + rings * perRing.requests, day.tokens + rings * perRing.tokens] as const
    })
    return { accounts: rows.map(([account]) => account), text: JSON.stringify(rows) }
  }

  told(statement: Statement | undefined): void {
    for (const account of statement?.accounts ?? []) {
      const seen = this.#untold.get(account)
      this.#untold.delete(account)
      if (seen && !this.#seen.has(account)) this.#seen.set(account, seen) // for the next loss
    }
  }
}
