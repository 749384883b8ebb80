import type { Amount, Charge } from './account.ts'
import { ceilingsFor, unlimited } from './ceilings.ts'
import { type LastSight, LocalShare } from './local-share.ts'
import type { StoreSettings } from './memory-store.ts'
import { type Ask, longestRefusal, type Refusal } from './store.ts'
import type { Tenant } from './types.ts'

export interface Sights {
  pool: LastSight | undefined
  tenant: (id: string) => LastSight | undefined
}

/** Decides within this instance's shares, of the pool and of each tenant, while the shared state cannot be trusted. */
export class Alone {
  readonly #settings: StoreSettings
  readonly #instances: number
  readonly #sights: Sights
  readonly #startedMs: number
  readonly pool: LocalShare
  readonly #tenants = new Map<string, LocalShare>()

  constructor(settings: StoreSettings, at: { instances: number; sights: Sights; nowMs: number }) {
    this.#settings = settings
    this.#instances = at.instances
    this.#sights = at.sights
    this.#startedMs = at.nowMs
    this.pool = new LocalShare(at.instances, settings.windowMs)
    this.pool.seed(at.sights.pool, { limits: settings.limits, nowMs: at.nowMs, dayEnds: this.#dayEnds(at.nowMs) })
  }

  refusal(ask: Ask, nowMs: number): Refusal | undefined {
    const { limits, safetyMargin } = this.#settings
    this.pool.roll(nowMs, this.#dayEnds(nowMs))
    const pool = this.pool.shortage(ceilingsFor(ask.priority, limits, safetyMargin), ask, nowMs)
    if (ask.tenant === undefined) return longestRefusal(undefined, pool, undefined)
    const ceilings = ceilingsFor(ask.priority, ask.tenant.limits, safetyMargin)
    return longestRefusal(undefined, pool, this.#tenant(ask.tenant, nowMs).shortage(ceilings, ask, nowMs))
  }

  charge(ask: Ask, nowMs: number): Charge {
    if (ask.tenant !== undefined) this.#tenant(ask.tenant, nowMs).charge(ask)
    return this.pool.charge(ask)
  }

  adjust(charge: Charge & { tenant: Tenant | undefined }, by: Amount): void {
    this.pool.adjust(charge, by)
    if (charge.tenant !== undefined) this.#tenants.get(charge.tenant.id)?.adjust(charge, by)
  }

  /** A tenant that was not seen just before is taken for one whose limits were filled, unless there is nobody else. */
  #tenant(tenant: Tenant, nowMs: number): LocalShare {
    let share = this.#tenants.get(tenant.id)
    if (share === undefined) {
      share = new LocalShare(this.#instances, this.#settings.windowMs)
      const { rpm = unlimited, rpd = unlimited, tpm = unlimited, tpd = unlimited } = tenant.limits
      const at = { limits: { rpm, rpd, tpm, tpd }, nowMs: this.#startedMs, dayEnds: this.#dayEnds(this.#startedMs) }
      share.seed(this.#sights.tenant(tenant.id), at)
      this.#tenants.set(tenant.id, share)
    }
    share.roll(nowMs, this.#dayEnds(nowMs))
    return share
  }

  #dayEnds(nowMs: number) {
    return this.#settings.day.endsAround(nowMs)
  }
}
