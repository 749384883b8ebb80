import { performance } from 'node:perf_hooks'
import { requireValidOptions, requireValidRequest } from './bounds.ts'
import { CalendarDay } from './calendar-day.ts'
import { ceilingsFor, tooLargeFor } from './ceilings.ts'
import { MemoryStore, type StoreSettings } from './memory-store.ts'
import { answerWithinMs } from './redis-options.ts'
import { RedisStore } from './redis-store.ts'
import { HeldReservation } from './reservation.ts'
import type { Ask, Shortfall, Store, Taken } from './store.ts'
import type {
  PauseRequest,
  Priority,
  QuotaClient,
  QuotaClientOptions,
  QuotaLimits,
  Refused,
  ReserveRequest,
  Tenant,
  Verdict,
} from './types.ts'

/**
 * A quota of one pool, shared by all clients with the same Redis and pool, or, without Redis, kept in this process.
 * Throws a RangeError for an option that is out of bounds.
 */
export function createQuotaClient(options: QuotaClientOptions): QuotaClient {
  requireValidOptions(options)
  const settings: StoreSettings = {
    pool: options.pool,
    limits: { ...options.limits },
    safetyMargin: options.safetyMargin ?? 0.8,
    windowMs: options.windowMs ?? 60_000,
    day: new CalendarDay(options.dayTimeZone ?? 'America/Los_Angeles'),
    clock: options.clock ?? Date.now,
  }
  if (!options.redis) return new StoreBackedQuota(new MemoryStore(settings), settings)
  const store = new RedisStore(options.redis, {
    ...settings,
    assumedInstances: options.assumedInstances ?? 1,
    answerWithinMs: options.answerWithinMs ?? answerWithinMs,
    onFault: options.onFault ?? (() => {}),
    elapsed: () => performance.now(),
  })
  return new StoreBackedQuota(store, settings)
}

/** The client over a store of either kind: what is decided without asking, and reservations around charges. */
export class StoreBackedQuota implements QuotaClient {
  readonly #store: Store
  readonly #safetyMargin: number
  readonly #ceilings: Record<Priority, QuotaLimits>

  constructor(store: Store, { limits, safetyMargin }: Pick<StoreSettings, 'limits' | 'safetyMargin'>) {
    this.#store = store
    this.#safetyMargin = safetyMargin
    this.#ceilings = {
      interactive: ceilingsFor('interactive', limits, safetyMargin),
      batch: ceilingsFor('batch', limits, safetyMargin),
    }
  }

  reserve(request: ReserveRequest): Promise<Verdict> {
    return new Promise((resolve) => {
      requireValidRequest(request)
      const { requests, tokens, priority, tenant } = request
      const ask = { requests, tokens, priority, tenant }
      const hopeless = this.#tooLarge(ask)
      if (hopeless !== undefined) resolve(hopeless)
      else this.#store.decide(ask, (decision) => resolve(this.#verdict(ask, decision)))
    })
  }

  usage() {
    return this.#store.usage()
  }

  async pause(pause: PauseRequest): Promise<void> {
    if (pause.untilMs !== undefined && !Number.isFinite(pause.untilMs))
      throw new RangeError(`untilMs must be milliseconds since the epoch, not ${pause.untilMs}`)
    await this.#store.pause(pause)
  }

  close() {
    return this.#store.close()
  }

  #verdict(ask: Ask, decision: Taken | Shortfall): Verdict {
    if (!decision.granted) return this.#refused(ask, decision, decision.reason)
    const reservation = new HeldReservation(this.#store, decision, ask)
    return { granted: true, degraded: decision.degraded, reservation }
  }

  #tooLarge(ask: Ask): Refused | undefined {
    const pool = tooLargeFor(this.#ceilings[ask.priority], ask.requests, ask.tokens)
    const tenant = ask.tenant && tooLargeFor(this.#ceilingsOf(ask, ask.tenant), ask.requests, ask.tokens)
    const limitType = pool ?? tenant
    if (limitType === undefined) return undefined
    const tenantRefused = pool === undefined
    const retryAfterMs = Number.POSITIVE_INFINITY
    return this.#refused(ask, { granted: false, degraded: false, limitType, retryAfterMs, tenantRefused }, 'too_large')
  }

  #refused(ask: Ask, { tenantRefused, ...refusal }: Omit<Shortfall, 'reason'>, reason: Refused['reason']): Refused {
    const tenant = tenantRefused ? ask.tenant : undefined
    const limit = refusal.limitType === 'upstream' ? 0 : this.#ceilingsOf(ask, tenant)[refusal.limitType]
    return { ...refusal, reason, limit, ...(tenant && { tenant: tenant.id }) }
  }

  #ceilingsOf(ask: Ask, tenant: Tenant | undefined): QuotaLimits {
    if (tenant === undefined) return this.#ceilings[ask.priority]
    return ceilingsFor(ask.priority, tenant.limits, this.#safetyMargin)
  }
}
