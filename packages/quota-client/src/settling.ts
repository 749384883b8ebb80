import { randomUUID } from 'node:crypto'
import type { Cluster, Redis, RedisOptions } from 'ioredis'
import type { FleetLink } from './fleet-link.ts'
import type { Ledger } from './ledger.ts'
import type { Once } from './scripts.ts'

/** How long a refund or an overrun waits for a reservation to ride on, in milliseconds. */
const settleAfterMs = 20
const settleAgainMs = 250

/** Sends refunds and overruns that no reservation has taken along. */
export class Settling {
  readonly #link: FleetLink
  readonly #windowMs: number
  readonly #onceId: string
  #onceNumber = 0
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> = Promise.resolve()
  #closed = false

  constructor(link: FleetLink, redis: Redis | Cluster, windowMs: number) {
    this.#link = link
    this.#windowMs = windowMs
    this.#onceId = mayResend(redis) ? randomUUID() : ''
  }

  /** Corrections that are sent twice carry the same number, and are made once. */
  nextOnce(): Once {
    this.#onceNumber += 1
    return { id: this.#onceId, number: this.#onceNumber }
  }

  /** After a fault there is no hurry. */
  later(): void {
    this.soon(settleAgainMs)
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#sending
    await this.all()
  }

  /** Sends what waits a little later, if it has not ridden on a reservation by then. */
  soon(waitMs = settleAfterMs): void {
    if (this.#timer !== undefined || this.#closed) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#sending = this.all()
    }, waitMs)
  }

  /** Sends what waits, unless the shared state is out of reach. */
  async all(): Promise<void> {
    const { books, state, breaker, mustReport } = this.#link
    if (state === undefined || breaker.isOpen || mustReport) {
      if (books.pool.hasCorrections) this.soon(settleAgainMs)
      return
    }
    const sends = [this.#settle(books.pool, { epoch: state.epoch, tenantKey: undefined })]
    for (const [id, ledger] of books.tenants)
      sends.push(this.#settle(ledger, { epoch: state.birth, tenantKey: this.#link.scripts.tenantKey(id) }))
    await Promise.all(sends)
  }

  async #settle(ledger: Ledger, to: { epoch: number; tenantKey: string | undefined }): Promise<void> {
    const corrections = ledger.takeCorrections()
    if (corrections === undefined) return
    const link = this.#link
    const epoch = link.state?.epoch
    try {
      const dayEnds = link.dayEndsText()
      const reply = await link.within(
        link.scripts.settle({
          ...to,
          windowMs: this.#windowMs,
          dayEnds,
          corrections: corrections.text,
          once: this.nextOnce(),
        }),
      )
      if (reply.decided) {
        if (to.tenantKey === undefined) link.learn(reply)
        return
      }
      ledger.notMade(corrections)
      if (link.state?.epoch === epoch) await link.report()
      this.soon()
    } catch (error) {
      ledger.lost(corrections)
      link.fault(error)
      this.soon(settleAgainMs)
    }
  }
}

/** Does the connection send commands again whose answer was lost? Then refunds are numbered, lest one be made twice. */
function mayResend(redis: Redis | Cluster): boolean {
  const { options } = redis
  if ('retryDelayOnFailover' in options)
    return options.retryDelayOnFailover !== 0 || options.redisOptions?.autoResendUnfulfilledCommands !== false
  return (options as RedisOptions).autoResendUnfulfilledCommands !== false
}
