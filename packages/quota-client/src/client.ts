import type { Amount } from './core/account.ts'
import { CalendarDay } from './core/calendar-day.ts'
import {
  ceilingsFor,
  divideLimits,
  requireValidOptions,
  requireValidRequest,
  requireWhole,
  tooLargeFor,
} from './core/limits.ts'
import type { Denied, Request, Settings, Store, Taken } from './core/store.ts'
import { MemoryStore } from './memory/memory-store.ts'
import { RedisStore } from './redis/redis-store.ts'
import type {
  PauseRequest,
  Priority,
  QuotaClient,
  QuotaClientOptions,
  QuotaLimits,
  Refused,
  Reservation,
  ReserveRequest,
  Runtime,
  Tenant,
  Verdict,
} from './types.ts'

/**
 * A quota of one pool, shared by all clients with the same Redis and pool, or, without Redis, kept in this process.
 * Throws a RangeError for an option that is out of bounds.
 */
export function createQuotaClient(options: QuotaClientOptions, runtime: Runtime = systemRuntime): QuotaClient {
  requireValidOptions(options)
  const { windowMs = 60_000, transitMs = 500, redis, outage } = options
  const slackMs = Math.max(20, windowMs / 240)
  const { shared, own } = divideLimits(options.limits, options.limits.rpm, redis && outage)
  const settings: Settings = {
    pool: options.pool,
    limits: shared,
    safetyMargin: options.safetyMargin ?? 0.8,
    windowMs,
    transitMs,
    slackMs,
    ringMs: windowMs + transitMs + slackMs,
    day: new CalendarDay(options.dayTimeZone ?? 'America/Los_Angeles'),
    longestQueue: options.maxQueueLength ?? 10_000,
  }
  if (!redis) return new StoreBackedQuota(new MemoryStore(settings, runtime), settings)
  const budget = outage && { ...outage, store: new MemoryStore({ ...settings, limits: own }, runtime) }
  return new StoreBackedQuota(new RedisStore(redis, { settings, options, budget }, runtime), settings)
}

export const systemRuntime: Runtime = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  setTimer(callback, ms) {
    const timer = setTimeout(callback, ms)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
  defer: (callback) => process.nextTick(callback),
  random: Math.random,
}

class StoreBackedQuota implements QuotaClient {
  readonly #store: Store
  readonly #settings: Settings
  readonly #ceilings: Record<Priority, QuotaLimits>

  constructor(store: Store, settings: Settings) {
    this.#store = store
    this.#settings = settings
    const { limits, safetyMargin } = settings
    this.#ceilings = { interactive: limits, batch: ceilingsFor('batch', limits, safetyMargin) }
  }

  reserve(request: ReserveRequest): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      requireValidRequest(request)
      const { requests, tokens, priority, tenant, maxWaitMs = 0, client = '', signal, onWaiting } = request
      const wait = maxWaitMs > 0 ? { maxWaitMs, client, signal, onWaiting } : undefined
      const complete = { requests, tokens, priority, tenant, wait }
      const tooLarge = this.#tooLarge(complete)
      if (tooLarge) resolve(this.#refused(complete, tooLarge))
      else if (signal?.aborted) reject(signal.reason)
      else {
        const onAbort = () => reject(signal?.reason)
        if (wait) signal?.addEventListener('abort', onAbort, { once: true })
        this.#store.decide(complete, (decision) => {
          signal?.removeEventListener('abort', onAbort)
          resolve(this.#verdict(complete, decision))
        })
      }
    })
  }

  usage() {
    return this.#store.usage()
  }

  health() {
    return this.#store.health()
  }

  async pause(pause: PauseRequest): Promise<void> {
    if (pause.untilMs !== undefined && !Number.isFinite(pause.untilMs))
      throw new RangeError(`untilMs must be milliseconds since the epoch, not ${pause.untilMs}`)
    await this.#store.pause(pause)
  }

  close() {
    return this.#store.close()
  }

  #verdict(request: Request, decision: Taken | Denied): Verdict {
    if (!decision.granted) return this.#refused(request, decision)
    const reservation = new HeldReservation(decision, this.#store, request)
    return { granted: true, degraded: decision.degraded, reservation }
  }

  #tooLarge(request: Request): Denied | undefined {
    const { requests, tokens, tenant } = request
    const pool = tooLargeFor(this.#ceilings[request.priority], requests, tokens)
    const limitType = pool ?? (tenant && tooLargeFor(this.#ceilingsOf(request, tenant), requests, tokens))
    if (limitType === undefined) return undefined
    const retryAfterMs = Number.POSITIVE_INFINITY
    return {
      granted: false,
      degraded: false,
      reason: 'too_large',
      limitType,
      retryAfterMs,
      tenantRefused: pool === undefined,
    }
  }

  #refused(request: Request, { tenantRefused, ...denied }: Denied): Refused {
    const tenant = tenantRefused ? request.tenant : undefined
    const limit = denied.limitType === 'upstream' ? 0 : this.#ceilingsOf(request, tenant)[denied.limitType]
    return { ...denied, limit, ...(tenant && { tenant: tenant.id }) }
  }

  #ceilingsOf({ priority }: Request, tenant: Tenant | undefined): QuotaLimits {
    if (tenant === undefined) return this.#ceilings[priority]
    return ceilingsFor(priority, tenant.limits, this.#settings.safetyMargin)
  }
}

/** A granted amount in the hands of its caller. It can be settled, released or split once. */
class HeldReservation implements Reservation {
  readonly requests: number
  readonly tokens: number
  readonly #taken: Taken
  readonly #store: Store
  #held = true

  constructor(taken: Taken, store: Store, { requests, tokens }: Amount) {
    this.requests = requests
    this.tokens = tokens
    this.#taken = taken
    this.#store = store
  }

  start(): boolean {
    return this.#held && this.#taken.isFresh()
  }

  settle(actualTokens: number): void {
    requireWhole('actualTokens', actualTokens, 0)
    if (!this.#letGo()) return
    if (actualTokens !== this.tokens) this.#adjust({ requests: 0, tokens: actualTokens - this.tokens })
    this.#endProbe(true)
  }

  release(): void {
    if (!this.#letGo()) return
    this.#adjust({ requests: -this.requests, tokens: -this.tokens })
    this.#endProbe(false)
  }

  /** What does not divide evenly goes to the first parts, one each. */
  split(parts: number): Reservation[] {
    requireWhole('parts', parts, 1, this.requests)
    if (!this.#letGo()) throw new Error('a reservation that was settled, released or split cannot be split')
    const part = (amount: number, at: number) => Math.floor(amount / parts) + (at < amount % parts ? 1 : 0)
    return Array.from({ length: parts }, (_, at) => {
      const amount = { requests: part(this.requests, at), tokens: part(this.tokens, at) }
      return new HeldReservation(this.#taken, this.#store, amount)
    })
  }

  #adjust(by: Amount): void {
    this.#taken.ledger.adjust(this.#taken.charge, by)
  }

  #endProbe(served: boolean): void {
    if (this.#taken.probeOfPauseMs !== undefined) this.#store.probed(this.#taken.probeOfPauseMs, served)
  }

  #letGo(): boolean {
    const held = this.#held
    this.#held = false
    return held
  }
}
