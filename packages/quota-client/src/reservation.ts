import { requireWhole } from './bounds.ts'
import type { Store, Taken } from './store.ts'
import type { Reservation } from './types.ts'

/** A granted charge in the hands of its caller. It can be settled, released or split once. */
export class HeldReservation implements Reservation {
  readonly requests: number
  readonly tokens: number
  readonly #store: Store
  readonly #taken: Taken
  #held = true

  constructor(store: Store, taken: Taken, amount: { requests: number; tokens: number }) {
    this.requests = amount.requests
    this.tokens = amount.tokens
    this.#store = store
    this.#taken = taken
  }

  settle(actualTokens: number): void {
    requireWhole('actualTokens', actualTokens, 0)
    if (!this.#letGo()) return
    if (actualTokens !== this.tokens)
      this.#store.adjust(this.#taken.charge, { requests: 0, tokens: actualTokens - this.tokens })
    this.#endProbe(true)
  }

  release(): void {
    if (!this.#letGo()) return
    this.#store.adjust(this.#taken.charge, { requests: -this.requests, tokens: -this.tokens })
    this.#endProbe(false)
  }

  /** What does not divide evenly goes to the first parts, one each. */
  split(parts: number): Reservation[] {
    requireWhole('parts', parts, 1, this.requests)
    if (!this.#letGo()) throw new Error('a reservation that was settled, released or split cannot be split')
    const share = (amount: number, part: number) => Math.floor(amount / parts) + (part < amount % parts ? 1 : 0)
    return Array.from({ length: parts }, (_, part) => {
      const amount = { requests: share(this.requests, part), tokens: share(this.tokens, part) }
      return new HeldReservation(this.#store, this.#taken, amount)
    })
  }

  #letGo(): boolean {
    const held = this.#held
    this.#held = false
    return held
  }

  #endProbe(passed: boolean): void {
    if (this.#taken.probeOfPauseMs !== undefined) this.#store.probed(this.#taken.probeOfPauseMs, passed)
  }
}
