import type { Charge } from './account.ts'
import type { Ledger, SentCorrections } from './ledger.ts'
import type { Corrections } from './scripts.ts'
import type { Ask, Shortfall, Taken } from './store.ts'
import type { Tenant } from './types.ts'

const noCorrections: Corrections = { buckets: '', days: '' }

export interface Waiting {
  ask: Ask
  /** What it took of this instance's share, while all instances keep to theirs. */
  shareCharge: Charge | undefined
  answer: (decision: Taken | Shortfall) => void
}

/** The reservations of one turn of the event loop, of one tenant or of none: they travel as one call. */
export class Group {
  readonly tenant: Tenant | undefined
  readonly waiting: Waiting[] = []
  requests = 0
  tokens = 0
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
  }

  /** Takes the corrections that wait in a ledger along. */
  take(ledger: Ledger): Corrections {
    const sent = ledger.takeCorrections()
    if (sent === undefined) return noCorrections
    this.riding.push({ ledger, sent })
    return sent
  }

  /** The corrections were surely not made, or perhaps they were: see `Ledger`. */
  unload(fate: 'notMade' | 'lost'): void {
    for (const { ledger, sent } of this.riding.splice(0)) ledger[fate](sent)
  }

  /** Runs of equal asks, in their order, as reserve.lua reads them. */
  runs(): { text: string; lengths: number[] } {
    let text = ''
    const lengths: number[] = []
    let length = 0
    for (const [at, { ask }] of this.waiting.entries()) {
      length += 1
      const next = this.waiting[at + 1]?.ask
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
