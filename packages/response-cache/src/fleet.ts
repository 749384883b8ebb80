import { Bus } from './bus.ts'
import { frozenJson } from './codec.ts'
import type { RedisLayer } from './redis-layer.ts'
import type { ClaimStep, Renewal, Scripts, Turn } from './scripts.ts'

/** How one production ended, as it travels to those who wait in other processes. */
export type Outcome =
  | { kind: 'stored' }
  | { kind: 'answer'; value: unknown; storedAtMs: number }
  | { kind: 'error'; error: unknown }

export interface Conclusion {
  outcome: Outcome
  /** The entry for Redis; undefined when it is not to be kept there. */
  text: string | undefined
}

type Step = Pick<ClaimStep, 'token' | 'seenHeader' | 'awaitedToken'>

export interface FleetOptions {
  scripts: Scripts
  layer: RedisLayer
  channel: string
  /** How long values are kept. */
  valueMs: number
}

/** A leader is given up for dead after this long without a heartbeat; with the poll below, taken over within 2 s. */
export const LEASE_MS = 1_300
/** Of a production at work, and of one that has told its progress: thousands may wait, and each heartbeat is a call of Redis. */
const leases = {
  atWork: { leaseMs: LEASE_MS, renewMs: 300 },
  waiting: { leaseMs: 30_000, renewMs: 10_000 },
}
/** Those who wait ask this often, in case word of the end did not reach them. */
export const POLL_MS = 200
/** A waiting process counts as gone after this long without a poll. */
const WAITER_MS = 2_000
const OUTCOME_MS = 10_000
/** An outcome up to this length goes along unasked; a larger one only when somebody waits for it. */
const UNASKED_LENGTH = 64 * 1024

/** One production per key in the whole fleet: the lease, those who wait, the outcome. `undefined`: Redis gave no answer. */
export class Fleet {
  readonly #options: FleetOptions

  constructor(options: FleetOptions) {
    this.#options = options
  }

  turn(key: string, step: Step): Promise<Turn | undefined> {
    return this.#options.layer.request(() => this.#scripts.claim(this.#keys(key), this.claimStep(step)))
  }

  /** For a claim that travels with a look. */
  claimStep(step: Step): ClaimStep {
    return { ...step, leaseMs: LEASE_MS, waiterMs: WAITER_MS }
  }

  renew(key: string, token: string, progress: string): Promise<Renewal | undefined> {
    const { leaseMs } = leaseOf(progress)
    const renew = () => this.#scripts.renew(this.#keys(key), { token, leaseMs, progress })
    return this.#options.layer.request(renew, { isWrite: true })
  }

  /** False when another leads by now: then nothing was written. */
  async finish(key: string, token: string, { outcome, text = '' }: Conclusion): Promise<boolean | undefined> {
    const encoded = JSON.stringify(outcome)
    const { layer, channel, valueMs } = this.#options
    const end = { token, value: text, valueMs, outcomeMs: OUTCOME_MS, channel, message: Bus.concluded(key, token) }
    const send = (sent: string) =>
      layer.request(() => this.#scripts.finish(this.#keys(key), { ...end, outcome: sent }), { isWrite: text !== '' })
    let reply = await send(encoded.length <= UNASKED_LENGTH ? encoded : '')
    if (reply === 'wanted') reply = await send(encoded)
    if (reply === 'done' && text !== '') await layer.stored(key, text)
    return reply && reply === 'done'
  }

  /** True when `token` does not lead any more; false when it goes on, because somebody waits and `force` is not set. */
  release(key: string, token: string, force: boolean): Promise<boolean | undefined> {
    const step = { token, force, channel: this.#options.channel, message: Bus.concluded(key, token) }
    return this.#options.layer.request(() => this.#scripts.release(this.#keys(key), step))
  }

  async invalidate(tag: string, generation: string): Promise<boolean> {
    const { layer, channel } = this.#options
    const step = { generation, channel, message: Bus.invalidated(tag, generation) }
    const invalidate = async () => {
      await layer.invalidate(tag, step)
      return true
    }
    return (await layer.request(invalidate, { isWrite: true })) === true
  }

  get #scripts(): Scripts {
    return this.#options.scripts
  }

  #keys(key: string) {
    return this.#options.layer.keysOf(key)
  }
}

/** How long the lease of a production lasts, and how often it is renewed. */
export function leaseOf(progress: string) {
  return progress === '' ? leases.atWork : leases.waiting
}

/** The outcome another process left; undefined for a text that is not one. */
export function outcomeFrom(text: string): Outcome | undefined {
  try {
    const outcome = frozenJson(text) as Outcome | null
    return outcome && ['stored', 'answer', 'error'].includes(outcome.kind) ? outcome : undefined
  } catch {
    return undefined
  }
}
