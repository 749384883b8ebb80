import type { Charge } from './account.ts'
import type { Ledger, SentCorrections } from './ledger.ts'
import type { Answer, Ask } from './store.ts'
import type { Tenant } from './types.ts'

export interface Waiting {
  ask: Ask
  /** What it took of this instance's share, while all instances keep to theirs. */
  shareCharge: Charge | undefined
  answer: Answer
}

/** The reservations of one turn of the event loop, of one tenant or of none: they travel as one call. */
export class Group {
  readonly tenant: Tenant | undefined
  readonly waiting: Waiting[] = []
  requests = 0
  tokens = 0
  #hasBatch = false
  /** Once: by Redis, or by this instance when Redis takes too long. */
  answered = false
  /** The corrections that ride along. */
  readonly riding: { ledger: Ledger; sent: SentCorrections }[] = []

  constructor(tenant: Tenant | undefined) {
    this.tenant = tenant
  }

  add(waiting: Waiting): void {
    this.waiting.push(waiting)
    this.requests += waiting.ask.requests
    this.tokens += waiting.ask.tokens
    this.#hasBatch ||= waiting.ask.priority === 'batch'
  }

  /** Leaves only those for which `stays` says so; it answers the others. */
  keep(stays: (waiting: Waiting) => boolean): void {
    const all = this.waiting.splice(0)
    this.requests = 0
    this.tokens = 0
    for (const waiting of all) if (stays(waiting)) this.add(waiting)
  }

  /** Takes the corrections that wait in a ledger along. */
  take(ledger: Ledger): string {
    const sent = ledger.takeCorrections()
    if (sent === undefined) return ''
    this.riding.push({ ledger, sent })
    return sent.text
  }

  /** The corrections were surely not made, or perhaps they were: see `Ledger`. */
  unload(fate: 'notMade' | 'lost'): void {
    for (const { ledger, sent } of this.riding.splice(0)) ledger[fate](sent)
  }

  get hasBatch(): boolean {
    return this.#hasBatch
  }

  /** Runs of equal asks, in their order, as reserve.lua reads them. */
  runs(): { text: string; lengths: number[] } {
    let text = ''
    const lengths: number[] = []
    let length = 0
    for (let at = 0; at < this.waiting.length; at++) {
      const { ask } = this.waiting[at] as Waiting
      const next = this.waiting[at + 1]?.ask
      length += 1
      if (next !== undefined && isAlike(ask, next)) continue
      text += `${length},${ask.requests},${ask.tokens},${ask.priority === 'batch' ? 1 : 0};`
      lengths.push(length)
      length = 0
    }
    return { text, lengths }
  }
}

function isAlike(one: Ask, other: Ask): boolean {
  return one.requests === other.requests && one.tokens === other.tokens && one.priority === other.priority
}
