import { type Amount, bucketsPerWindow } from './account.ts'
import type { StoredCharge } from './store.ts'

type ByTime = Map<number, Amount>

/** Corrections on their way: kept until it is known whether they were made. */
export interface SentCorrections {
  /** As the scripts read them. */
  text: string
  sent: { buckets: ByTime; days: ByTime; overruns: { buckets: ByTime; days: ByTime } }
}

/**
 * What this instance itself used of one account: through Redis, kept for the case that Redis loses it, and without
 * Redis, kept until it can be posted; and the corrections that wait to be sent.
 */
export class Ledger {
  #shared: ByTime = new Map()
  #alone = { buckets: new Map() as ByTime, days: new Map() as ByTime }
  #posting: { buckets: ByTime; days: ByTime } | undefined
  #pending = emptyCorrections()
  /** What a correction of the last charge adds to: one call's reservations share their charge, and are settled in a row. */
  #lastCorrected: { charge: StoredCharge; amounts: Amount[] } | undefined
  /** Reports are numbered; a charge taken without Redis names the one that carries it. The last one that arrived: */
  #reported = 0
  #beingPosted = 0

  get hasCorrections(): boolean {
    return this.#pending.buckets.size > 0 || this.#pending.days.size > 0
  }

  get hasUseAlone(): boolean {
    return this.#alone.buckets.size > 0
  }

  /** Nothing to send, nothing to put back. */
  isEmpty(bucket: number): boolean {
    prune(this.#shared, bucket)
    return !this.hasCorrections && this.#shared.size + this.#alone.buckets.size === 0
  }

  granted(bucket: number, amount: Amount): void {
    this.#lastCorrected = undefined // what is pruned here is corrected no more
    prune(this.#shared, bucket)
    add(this.#shared, bucket, amount)
  }

  grantedAlone(charge: StoredCharge, amount: Amount): void {
    prune(this.#alone.buckets, charge.bucket)
    add(this.#alone.buckets, charge.bucket, amount)
    add(this.#alone.days, charge.dayEndMs, amount)
  }

  /** Corrects what this instance used. Where it has not been posted yet there is nothing to send. */
  correct(charge: StoredCharge, by: Amount): void {
    if (charge.report <= this.#reported) this.#correctShared(charge, by)
    else if (charge.report > this.#beingPosted) this.#correctAlone(charge, by)
    else if (by.tokens > 0) this.#correctShared(charge, by) // a refund is dropped: its charge may not have arrived yet
  }

  /** Takes the waiting corrections to be sent; hand them back by `notMade` or `lost` unless they arrived. */
  takeCorrections(): SentCorrections | undefined {
    if (!this.hasCorrections) return undefined
    const sent = this.#pending
    this.#forgetCorrections()
    return { text: textOf(sent.buckets, ';') + textOf(sent.days, '|'), sent }
  }

  /** They surely were not made: they wait again. */
  notMade({ sent }: SentCorrections): void {
    this.#keep(sent, sent.overruns)
  }

  /** They may have been made: refunds are dropped, lest one counts twice; overruns are sent again. */
  lost({ sent }: SentCorrections): void {
    this.#keep(sent.overruns, sent.overruns)
  }

  /** What is to be posted now: use in a state that may be lost, and use without Redis. Follow with `posted` or `notPosted`. */
  beginReport(number: number, bucket: number): { usedBefore: string; usedAlone: string } {
    prune(this.#shared, bucket)
    this.#posting = this.#alone
    this.#alone = { buckets: new Map(), days: new Map() }
    this.#beingPosted = number
    const usedAlone = textOf(this.#posting.buckets, ';') + textOf(this.#posting.days, '|')
    return { usedBefore: textOf(this.#shared, ';'), usedAlone }
  }

  posted(stateWasLost: boolean): void {
    for (const [bucket, amount] of this.#posting?.buckets ?? []) add(this.#shared, bucket, amount)
    this.#posting = undefined
    this.#reported = this.#beingPosted
    this.#lastCorrected = undefined
    if (stateWasLost) this.#forgetCorrections() // what was put back was net of them
  }

  notPosted(): void {
    for (const part of ['buckets', 'days'] as const)
      for (const [time, amount] of this.#posting?.[part] ?? []) add(this.#alone[part], time, amount)
    this.#posting = undefined
    this.#beingPosted = this.#reported
  }

  #correctAlone(charge: StoredCharge, by: Amount): void {
    if (this.#alone.buckets.has(charge.bucket)) add(this.#alone.buckets, charge.bucket, by)
    add(this.#alone.days, charge.dayEndMs, by)
  }

  #correctShared(charge: StoredCharge, by: Amount): void {
    if (this.#lastCorrected?.charge !== charge) this.#lastCorrected = { charge, amounts: this.#amountsOf(charge) }
    for (const amount of this.#lastCorrected.amounts) increase(amount, by)
    if (by.tokens <= 0) return
    add(this.#pending.overruns.buckets, charge.bucket, by)
    add(this.#pending.overruns.days, charge.dayEndMs, by)
  }

  #amountsOf({ bucket, dayEndMs }: StoredCharge): Amount[] {
    const pending = [amountAt(this.#pending.buckets, bucket), amountAt(this.#pending.days, dayEndMs)]
    const shared = this.#shared.get(bucket)
    return shared === undefined ? pending : [shared, ...pending]
  }

  #forgetCorrections(): void {
    this.#pending = emptyCorrections()
    this.#lastCorrected = undefined
  }

  #keep(parts: { buckets: ByTime; days: ByTime }, overruns: { buckets: ByTime; days: ByTime }): void {
    for (const part of ['buckets', 'days'] as const) {
      for (const [time, amount] of parts[part]) add(this.#pending[part], time, amount)
      for (const [time, amount] of overruns[part]) add(this.#pending.overruns[part], time, amount)
    }
  }
}

function emptyCorrections(): SentCorrections['sent'] {
  return { buckets: new Map(), days: new Map(), overruns: { buckets: new Map(), days: new Map() } }
}

function add(times: ByTime, time: number, amount: Amount): void {
  increase(amountAt(times, time), amount)
}

function amountAt(times: ByTime, time: number): Amount {
  let amount = times.get(time)
  if (amount === undefined) {
    amount = { requests: 0, tokens: 0 }
    times.set(time, amount)
  }
  return amount
}

function increase(amount: Amount, by: Amount): void {
  amount.requests += by.requests
  amount.tokens += by.tokens
}

function prune(times: ByTime, bucket: number): void {
  for (const time of times.keys()) {
    if (bucket - time <= bucketsPerWindow) return
    times.delete(time)
  }
}

function textOf(times: ByTime, end: ';' | '|'): string {
  let text = ''
  for (const [time, { requests, tokens }] of times) text += `${time},${requests},${tokens}${end}`
  return text
}
