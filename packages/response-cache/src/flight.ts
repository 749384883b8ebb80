import { randomUUID } from 'node:crypto'
import { LEASE_MS, outcomeFrom, POLL_MS } from './fleet.ts'
import type { Found, Origin } from './layers.ts'
import { Participants } from './participants.ts'
import { Production, type ProductionContext } from './production.ts'
import type { Turn } from './scripts.ts'
import type { Answer, Claim, ClaimOptions } from './types.ts'

export interface FlightContext extends ProductionContext {
  decodeError(encoded: unknown): unknown
  /** Called when no further claim may join, perhaps more than once. */
  onLeft(flight: Flight): void
}

/** One answer on its way, in this process: everyone here who claims the key meanwhile joins it. */
export class Flight {
  readonly key: string
  /** How it began for the caller who started it. */
  readonly begun: Promise<Claim<unknown>['state']>
  readonly #context: FlightContext
  readonly #token = randomUUID()
  readonly #participants = new Participants(() => this.#allLeft())
  readonly #begin: (state: Claim<unknown>['state']) => void
  #wake: () => void = () => {}
  #concluded = ''
  #production: Production | undefined

  constructor(key: string, context: FlightContext) {
    this.key = key
    this.#context = context
    const begun = Promise.withResolvers<Claim<unknown>['state']>()
    this.begun = begun.promise
    this.#begin = begun.resolve
  }

  join(options: ClaimOptions<unknown>): Promise<Answer<unknown>> {
    return this.#participants.join(options)
  }

  /** Looks, waits or leads until those who joined are answered. Never rejects: failures reach them. */
  async fly(tags: string[]): Promise<void> {
    try {
      await this.#seek(tags)
    } catch (error) {
      this.#leave(() => this.#participants.fail(error))
    }
    this.#begin('wait') // for those who left before it was known; otherwise settled already
  }

  /** The production that `token` names is over, says the bus. */
  concluded(token: string): void {
    this.#concluded = token
    this.#wake()
  }

  /** Ends it here and now; another process takes over at once. */
  async close(reason: Error): Promise<void> {
    this.#leave(() => this.#participants.fail(reason))
    this.#wake()
    await this.#production?.stop(reason)
  }

  async #seek(tags: string[]): Promise<void> {
    const { layers, fleet } = this.#context
    // The claim travels with the look: with what the end of a miss asks no more, Redis has 10 % less work with a miss.
    let found = await layers.find(
      this.key,
      tags,
      fleet?.claimStep({ token: this.#token, seenHeader: '', awaitedToken: '' }),
    )
    if (found.answer) return this.#hit(found.answer)
    let awaitedToken = ''
    let silentSinceMs = Number.POSITIVE_INFINITY
    let first = found.turn?.kind === 'changed' ? undefined : found.turn
    while (first || this.#participants.size > 0) {
      const turn = first ?? (await this.#turn(found, awaitedToken))
      first = undefined
      silentSinceMs = turn ? Number.POSITIVE_INFINITY : Math.min(silentSinceMs, performance.now())
      // While Redis is silent, a leader waited for may still come back with it, for as long as its lease would have run.
      const isOnOurOwn = !turn && (awaitedToken === '' || performance.now() - silentSinceMs > LEASE_MS)
      if (isOnOurOwn) return this.#lead(found.origin, { isLeased: false })
      if (turn?.kind === 'lead') return this.#lead(found.origin, { isLeased: fleet !== undefined, awaitedToken })
      if (turn?.kind === 'outcome' && this.#accept(turn.text)) return
      if (turn?.kind === 'outcome' || turn?.kind === 'changed') {
        found = await layers.find(this.key, tags)
        if (found.answer) return awaitedToken === '' ? this.#hit(found.answer) : this.#coalesced(found.answer)
        awaitedToken = ''
        continue
      }
      if (turn?.kind === 'wait') {
        awaitedToken = turn.owner
        this.#participants.tell(turn.progress)
      }
      this.#begin('wait')
      await this.#pause(awaitedToken)
    }
    if (awaitedToken !== '') await fleet?.release(this.key, this.#token, false)
  }

  async #turn({ header }: Found, awaitedToken: string): Promise<Turn | undefined> {
    const { fleet } = this.#context
    if (!fleet) return { kind: 'lead' }
    return fleet.turn(this.key, { token: this.#token, seenHeader: header, awaitedToken })
  }

  /** Runs the `produce` of one who waits here. */
  async #lead(origin: Origin, { isLeased, awaitedToken = '' }: { isLeased: boolean; awaitedToken?: string }) {
    const { fleet, onEvent } = this.#context
    const leader = this.#participants.first()
    if (!leader) {
      if (isLeased) await fleet?.release(this.key, this.#token, true)
      return
    }
    if (awaitedToken !== '') onEvent({ type: 'taken_over', key: this.key })
    this.#participants.tell('') // what was told of the production that was awaited
    this.#begin('lead')
    const options = { key: this.key, token: this.#token, participants: this.#participants, isLeased }
    this.#production = new Production(options, this.#context)
    this.#leave(await this.#production.run(leader, origin))
  }

  /** Until the awaited production is said to be over, or it is time to ask. */
  #pause(awaitedToken: string): Promise<void> {
    const isOver = this.#concluded === awaitedToken
    this.#concluded = '' // believed once: should the lease still be held, the next look is a poll away
    if (isOver || this.#participants.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, POLL_MS + Math.random() * 50)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #hit(answer: Answer<unknown>): void {
    this.#begin('hit')
    this.#leave(() => this.#participants.answer(answer))
  }

  #coalesced({ value, storedAtMs }: Pick<Answer<unknown>, 'value' | 'storedAtMs'>): void {
    this.#leave(() => this.#participants.answer({ value, storedAtMs, layer: 'miss', coalesced: true }))
  }

  /** What the leader in another process left; false when the answer is to be looked for in the layers. */
  #accept(text: string): boolean {
    const outcome = outcomeFrom(text)
    if (outcome?.kind === 'answer') this.#coalesced(outcome)
    else if (outcome?.kind === 'error') {
      this.#leave(() => this.#participants.fail(this.#context.decodeError(outcome.error)))
    } else return false
    return true
  }

  #allLeft(): void {
    this.#leave(() => {})
    this.#wake()
    void this.#production?.cancelIfUnwanted()
  }

  /** From here on a claim of the key starts anew. */
  #leave(settle: () => void): void {
    this.#context.onLeft(this)
    settle()
  }
}
