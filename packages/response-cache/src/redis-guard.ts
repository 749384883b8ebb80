import { once } from 'node:events'
import type { Cluster, Redis } from 'ioredis'
import type { ResponseCacheOptions } from './types.ts'

export interface GuardOptions {
  redis: Redis | Cluster
  timeoutMs: number
  onFault: NonNullable<ResponseCacheOptions['onFault']>
  onRecovered(): void
}

const BREAKER_WINDOW_MS = 500
/** A timer later than this means that the event loop was blocked. */
const STALL_MS = 20
const MAX_STALLS = 5
/** Near its limit Redis refuses one write and takes the next: it counts as writable after this long without a refusal. */
const WRITABLE_AFTER_MS = 5_000
const FIRST_CONNECTION_MS = 1_000

/**
 * Every use of Redis goes through here. The first failure or slow answer opens the breaker: all who wait are let go at once,
 * and nobody asks again until a ping in the background was answered in time: one at once, for a hiccup, then one per window.
 * A Redis that only refuses writes is still read, and asked to write at each occasion.
 */
export class RedisGuard {
  readonly #options: GuardOptions
  readonly #waiting = new Set<() => void>()
  #open = false
  #closed = false
  #hasConnected = false
  #trippedAtMs = Number.NEGATIVE_INFINITY
  #probe: NodeJS.Timeout | undefined
  #ready: Promise<unknown> | undefined
  #refusal: { lastAtMs: number } | undefined

  constructor(options: GuardOptions) {
    this.#options = options
  }

  /** The answer, or undefined when Redis gives none in time. Rejects only for a WRONGTYPE: a foreign value, not a fault. */
  run<T>(operation: () => Promise<T>, { isWrite = false } = {}): Promise<T | undefined> {
    if (this.#open || this.#closed) return Promise.resolve(undefined)
    const { promise, resolve, reject } = Promise.withResolvers<T | undefined>()
    const letGo = () => resolve(undefined)
    const timer = this.#whenLate(() => this.#trip(new Error(`Redis gave no answer in ${this.#options.timeoutMs} ms`)))
    this.#waiting.add(letGo)
    const done = () => {
      timer.cancel()
      this.#waiting.delete(letGo)
    }
    this.#attempt(operation).then(
      (answer) => {
        done()
        if (isWrite) this.#taken()
        resolve(answer)
      },
      (error: unknown) => {
        done()
        if (isForeign(error)) return reject(error)
        const reason = refusalOf(error)
        if (reason) this.#refused(reason, error)
        else this.#trip(error)
        resolve(undefined)
      },
    )
    return promise
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#probe)
    for (const letGo of this.#waiting) letGo()
  }

  /** Once more after the connection's own `commandTimeout`: within our time, Redis is not late yet. */
  async #attempt<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await this.#whenConnected(operation)
    } catch (error) {
      if (!(error instanceof Error) || error.message !== 'Command timed out') throw error
      return this.#whenConnected(operation)
    }
  }

  /** A connection still on its way up is waited for, whatever its offline queue would do with the command. */
  #whenConnected<T>(operation: () => Promise<T>): Promise<T> {
    const { redis } = this.#options
    if (redis.status === 'ready' || redis.status === 'end') return operation()
    if (redis.status === 'wait') redis.connect().catch(() => {}) // `once` below rejects with the same error
    this.#ready ??= once(redis, 'ready').finally(() => {
      this.#ready = undefined
    })
    return this.#ready.then(operation)
  }

  /**
   * Fires after `timeoutMs`. While the timer itself comes late, this process stalls and not Redis, whose answer may lie in
   * the socket unread: then it is set again, and in any case the event loop turns once more.
   */
  #whenLate(callback: () => void): { cancel(): void } {
    const timeoutMs = this.#patienceMs()
    let timer: NodeJS.Timeout | undefined
    let immediate: NodeJS.Immediate | undefined
    const arm = (stallsLeft: number) => {
      const dueAtMs = performance.now() + timeoutMs
      timer = setTimeout(() => {
        if (stallsLeft > 0 && performance.now() - dueAtMs > STALL_MS) arm(stallsLeft - 1)
        else immediate = setImmediate(callback)
      }, timeoutMs)
    }
    arm(MAX_STALLS)
    return {
      cancel() {
        clearTimeout(timer)
        clearImmediate(immediate)
      },
    }
  }

  /** A first connection takes longer than an answer, and a process that starts is busy. */
  #patienceMs(): number {
    const { redis, timeoutMs } = this.#options
    this.#hasConnected ||= redis.status === 'ready'
    return this.#hasConnected ? timeoutMs : Math.max(timeoutMs, FIRST_CONNECTION_MS)
  }

  #refused(reason: string, cause: unknown): void {
    if (this.#open || this.#closed) return
    const isNew = this.#refusal === undefined
    this.#refusal = { lastAtMs: performance.now() }
    if (isNew) this.#options.onFault({ state: 'degraded', reason, cause })
  }

  #taken(): void {
    if (!this.#refusal || performance.now() - this.#refusal.lastAtMs < WRITABLE_AFTER_MS) return
    this.#refusal = undefined
    this.#recovered()
  }

  #recovered(): void {
    this.#options.onFault({ state: 'recovered' })
    this.#options.onRecovered()
  }

  #trip(cause: unknown): void {
    if (this.#open || this.#closed) return
    this.#open = true
    this.#refusal = undefined
    for (const letGo of this.#waiting) letGo()
    const isFirstInWindow = performance.now() - this.#trippedAtMs > BREAKER_WINDOW_MS
    this.#trippedAtMs = performance.now()
    if (isFirstInWindow)
      void this.#ping() // it may have been a hiccup
    else this.#probeLater()
    this.#options.onFault({ state: 'degraded', reason: isReply(cause) ? 'error' : 'unreachable', cause })
  }

  #probeLater(): void {
    this.#probe = setTimeout(() => void this.#ping(), BREAKER_WINDOW_MS).unref()
  }

  async #ping(): Promise<void> {
    const { redis, timeoutMs } = this.#options
    const askedAtMs = performance.now()
    // A failed ping is what an open breaker expects: the fault was told when it opened.
    const answered = redis.status === 'ready' && (await redis.ping().then(isAnswer, () => false))
    if (this.#closed) return
    if (!answered || performance.now() - askedAtMs > timeoutMs) return this.#probeLater()
    this.#open = false
    this.#recovered()
  }
}

const isAnswer = () => true

function isReply(error: unknown): boolean {
  return error instanceof Error && /^[A-Z]{3,} /.test(error.message)
}

function isForeign(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('WRONGTYPE')
}

const refusals = { OOM: 'full', READONLY: 'read_only', NOREPLICAS: 'no_replicas', MISCONF: 'not_persisted' }

/** Why Redis takes no writes, in the words of quota-client's causes; undefined for any other error. */
function refusalOf(error: unknown): string | undefined {
  const message = error instanceof Error ? error.message : ''
  return Object.entries(refusals).find(([code]) => message.startsWith(`${code} `))?.[1]
}
