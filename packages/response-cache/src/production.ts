import { type Conclusion, type Fleet, leaseOf, type Outcome } from './fleet.ts'
import type { Layers, Origin } from './layers.ts'
import type { Participant, Participants } from './participants.ts'
import type { Answer, CacheEvent } from './types.ts'

/** Productions of one process send their heartbeats together: many commands at once cost Redis and the process less. */
const togetherMs = 100

export interface ProductionContext {
  layers: Layers
  /** Undefined when there is no Redis: then this process is the fleet. */
  fleet: Fleet | undefined
  encodeError(error: unknown): unknown
  onEvent(event: CacheEvent): void
}

export interface ProductionOptions {
  key: string
  /** The lease is held under this name. */
  token: string
  participants: Participants
  /** False when Redis is silent: then the fleet knows nothing of this production, unless a heartbeat gets through. */
  isLeased: boolean
}

/** One caller's `produce` at work: keeps the lease alive, is aborted when nobody waits any more, and tells how it ended. */
export class Production {
  readonly #options: ProductionOptions
  readonly #context: ProductionContext
  readonly #controller = new AbortController()
  #heartbeat: NodeJS.Timeout | undefined
  #isLeased: boolean
  /** Somebody elsewhere may have begun to wait. */
  #wasLeased: boolean
  #isReleasing = false
  #progress = ''
  #isOver = false

  constructor(options: ProductionOptions, context: ProductionContext) {
    this.#options = options
    this.#context = context
    this.#isLeased = this.#wasLeased = options.isLeased
  }

  /** Returns how to settle those who wait here, once the fleet has been told. */
  async run(leader: Participant, origin: Origin): Promise<() => void> {
    const { fleet } = this.#context
    const { key, token } = this.#options
    this.#beatLater()
    try {
      const { conclusion, settle } = await this.#produce(leader, origin)
      this.#isOver = true
      clearTimeout(this.#heartbeat) // a heartbeat after the end would take the lease again
      // What an aborted production threw concerns nobody: whoever waits by now has a production of its own.
      const isMoot = this.#controller.signal.aborted && conclusion.outcome.kind === 'error'
      if (!isMoot) await fleet?.finish(key, token, conclusion)
      return settle
    } finally {
      clearTimeout(this.#heartbeat)
    }
  }

  /** Nobody here waits. When nobody elsewhere does either, for certain, it is aborted. */
  async cancelIfUnwanted(): Promise<void> {
    const { fleet, onEvent } = this.#context
    const { key, token } = this.#options
    if (this.#isOver) return
    if (fleet && this.#wasLeased) {
      this.#isReleasing = true
      const released = await fleet.release(key, token, false)
      this.#isReleasing = false
      if (!released) return
    }
    if (this.#isOver || this.#controller.signal.aborted) return
    this.#abort(new Error('Nobody waits for this answer any more'))
    onEvent({ type: 'cancelled', key })
  }

  /** Ends it whoever waits; in the fleet somebody else leads at once. */
  async stop(reason: Error): Promise<void> {
    this.#abort(reason)
    if (this.#wasLeased) await this.#context.fleet?.release(this.#options.key, this.#options.token, true)
  }

  async #produce(leader: Participant, origin: Origin): Promise<{ conclusion: Conclusion; settle(): void }> {
    const { layers, encodeError } = this.#context
    const { key, participants } = this.#options
    try {
      const produced = await leader.options.produce(this.#controller.signal, (progress) => this.#tell(progress, leader))
      const sealed = layers.seal(produced.value, origin)
      const { value, storedAtMs } = sealed.entry
      const text = produced.store ? layers.remember(key, sealed) : undefined
      const outcome: Outcome = text === undefined ? { kind: 'answer', value, storedAtMs } : { kind: 'stored' }
      const answer: Answer<unknown> = { value, storedAtMs, layer: 'miss', coalesced: true }
      return { conclusion: { outcome, text }, settle: () => participants.answer(answer, leader) }
    } catch (error) {
      const outcome: Outcome = { kind: 'error', error: encodeError(error) }
      return { conclusion: { outcome, text: undefined }, settle: () => participants.fail(error) }
    }
  }

  #tell(progress: string, leader: Participant): void {
    if (this.#isOver || this.#controller.signal.aborted) return
    const hasOtherLease = leaseOf(progress) !== leaseOf(this.#progress)
    this.#progress = progress
    this.#options.participants.tell(progress, leader)
    if (!hasOtherLease) return
    this.#beatLater()
    void this.#beat()
  }

  #beatLater(): void {
    clearTimeout(this.#heartbeat)
    if (!this.#context.fleet) return
    const { renewMs } = leaseOf(this.#progress)
    this.#heartbeat = setTimeout(
      () => {
        this.#beatLater()
        void this.#beat()
      },
      renewMs - (performance.now() % togetherMs),
    )
  }

  async #beat(): Promise<void> {
    const { fleet, onEvent } = this.#context
    const { key, token, participants } = this.#options
    if (this.#isReleasing) return // a renewal on the heels of the release would take the lease again
    const renewal = await fleet?.renew(key, token, this.#progress)
    if (!renewal) return // Redis is silent; nothing is known, so the production goes on
    if (!renewal.owned && this.#isLeased) onEvent({ type: 'lease_lost', key })
    this.#isLeased = renewal.owned
    this.#wasLeased ||= renewal.owned
    if (participants.size === 0 && renewal.interest === 0) await this.cancelIfUnwanted()
  }

  #abort(reason: Error): void {
    clearTimeout(this.#heartbeat)
    this.#controller.abort(reason)
  }
}
