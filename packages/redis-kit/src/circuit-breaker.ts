import { once } from 'node:events'
import type { RedisConnection } from './connection.ts'
import { withDeadline } from './deadline.ts'
import { causeOf, isRefusedWrite, type RedisFault } from './faults.ts'

export interface CircuitBreakerOptions {
  redis: RedisConnection
  /** Timeout of one operation in milliseconds. */
  timeoutMs: number
  /** Notified once per change of state. */
  onFault: (fault: RedisFault) => void
  /** Shows that Redis can be used again. Default: a PING. */
  probe?: () => Promise<unknown>
}

const probeIntervalMs = 500
const firstConnectionMs = 1_000
/** Near its limit Redis refuses one write and takes the next: it counts as writable after this long without a refusal. */
const writableAfterMs = 5_000

/**
 * The first failure or late answer opens the circuit: all operations in flight are rejected at once, and so are new ones
 * until a probe in the background is answered in time. The first probe is sent at once, for a hiccup, then one per interval.
 * A Redis that only refuses writes opens nothing: it can be read, and is asked to write at each occasion.
 */
export class CircuitBreaker {
  readonly #redis: RedisConnection
  readonly #timeoutMs: number
  readonly #onFault: CircuitBreakerOptions['onFault']
  readonly #probe: () => Promise<unknown>
  readonly #inFlight = new Set<(cause: unknown) => void>()
  /** Why the circuit is open; undefined while it is closed. */
  #fault: { cause: unknown } | undefined
  #refusedAtMs: number | undefined
  #isShut = false
  #hasConnected = false
  #openedAtMs = Number.NEGATIVE_INFINITY
  #nextProbe: NodeJS.Timeout | undefined
  #ready: Promise<unknown> | undefined

  constructor({ redis, timeoutMs, onFault, probe = () => redis.ping() }: CircuitBreakerOptions) {
    this.#redis = redis
    this.#timeoutMs = timeoutMs
    this.#onFault = onFault
    this.#probe = probe
  }

  get isOpen(): boolean {
    return this.#fault !== undefined
  }

  /**
   * The answer of Redis. Rejects when it fails, is late, or the circuit is open. A WRONGTYPE, which is the fault of a key and
   * not of Redis, rejects and opens nothing. May run the operation twice, see `#attempt`. The success of a write shows that
   * Redis takes writes again.
   */
  run<T>(operation: () => Promise<T>, { isWrite = false } = {}): Promise<T> {
    if (this.#fault) return Promise.reject(this.#fault.cause)
    if (this.#isShut) return Promise.reject(new Error('The connection to Redis was given up'))
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#inFlight.add(reject)
    withDeadline(this.#attempt(operation), this.#timeoutNowMs())
      .then(
        (answer) => {
          if (isWrite) this.#accepted()
          resolve(answer)
        },
        (error: unknown) => {
          if (isRefusedWrite(error)) this.#refused(error)
          else if (!isWrongType(error)) this.#open(error)
          reject(error)
        },
      )
      .finally(() => this.#inFlight.delete(reject))
    return promise
  }

  /** Rejects what is in flight. Does not close the connection, which belongs to the caller. */
  close(): void {
    this.#isShut = true
    clearTimeout(this.#nextProbe)
    this.#rejectAll(new Error('The connection to Redis was given up'))
  }

  /** Once more after the connection's own `commandTimeout`, which a stall of this process runs into: Redis is not late yet. */
  async #attempt<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await this.#whenConnected(operation)
    } catch (error) {
      if (!(error instanceof Error) || error.message !== 'Command timed out') throw error
      return this.#whenConnected(operation)
    }
  }

  /** Waits for a connection that is being made, whatever its offline queue would do with the command. */
  #whenConnected<T>(operation: () => Promise<T>): Promise<T> {
    const redis = this.#redis
    if (redis.status === 'ready' || redis.status === 'end') return operation()
    if (redis.status === 'wait') redis.connect().catch(() => {}) // `once` below rejects with the same error
    this.#ready ??= once(redis, 'ready').finally(() => {
      this.#ready = undefined
    })
    return this.#ready.then(operation)
  }

  /** A first connection takes longer than an answer, and a process that starts is busy. */
  #timeoutNowMs(): number {
    this.#hasConnected ||= this.#redis.status === 'ready'
    return this.#hasConnected ? this.#timeoutMs : Math.max(this.#timeoutMs, firstConnectionMs)
  }

  #refused(cause: unknown): void {
    if (this.#fault || this.#isShut) return
    const isNew = this.#refusedAtMs === undefined
    this.#refusedAtMs = performance.now()
    if (isNew) this.#onFault({ state: 'degraded', cause, reason: causeOf(cause) })
  }

  #accepted(): void {
    if (this.#refusedAtMs === undefined || performance.now() - this.#refusedAtMs < writableAfterMs) return
    this.#refusedAtMs = undefined
    this.#onFault({ state: 'recovered' })
  }

  #open(cause: unknown): void {
    if (this.#fault || this.#isShut) return
    this.#fault = { cause }
    this.#refusedAtMs = undefined
    this.#rejectAll(cause)
    const isFirst = performance.now() - this.#openedAtMs > probeIntervalMs
    this.#openedAtMs = performance.now()
    if (isFirst) void this.#tryAgain()
    else this.#tryLater()
    this.#onFault({ state: 'degraded', cause, reason: causeOf(cause) })
  }

  #tryLater(): void {
    this.#nextProbe = setTimeout(() => void this.#tryAgain(), probeIntervalMs).unref()
  }

  async #tryAgain(): Promise<void> {
    const sentAtMs = performance.now()
    // A failed probe is what an open circuit expects: the fault was announced when it opened.
    const isAnswered =
      this.#redis.status === 'ready' &&
      (await this.#probe().then(
        () => true,
        () => false,
      ))
    if (this.#isShut) return
    if (!isAnswered || performance.now() - sentAtMs > this.#timeoutMs) return this.#tryLater()
    this.#fault = undefined
    this.#onFault({ state: 'recovered' })
  }

  #rejectAll(cause: unknown): void {
    for (const reject of this.#inFlight) reject(cause)
  }
}

/** True for a value of another type under a key of ours. */
export function isWrongType(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('WRONGTYPE')
}
