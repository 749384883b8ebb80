import { Account, type Amount } from './account.ts'
import type { CalendarDay } from './calendar-day.ts'
import { ceilingsFor } from './ceilings.ts'
import { PauseGate } from './pause-gate.ts'
import { pauseLength } from './pause-length.ts'
import { shrunk } from './shrinkage.ts'
import {
  type Answer,
  type Ask,
  longestRefusal,
  type Shortfall,
  type Store,
  type StoredCharge,
  type Taken,
} from './store.ts'
import type { PauseRequest, QuotaLimits, QuotaUsage, Tenant } from './types.ts'
import { usageOfAccount } from './usage-of.ts'

export interface StoreSettings {
  pool: string
  limits: QuotaLimits
  safetyMargin: number
  windowMs: number
  day: CalendarDay
  /** Milliseconds since the epoch. */
  clock: () => number
}

/** The in-memory twin: the same contract for one process. */
export class MemoryStore implements Store {
  readonly #settings: StoreSettings
  readonly #pool: Account
  readonly #tenants = new Map<string, Account>()
  readonly #gate: PauseGate
  #tenantsOfDayEnd = 0

  constructor(settings: StoreSettings) {
    this.#settings = settings
    this.#pool = new Account(settings.windowMs)
    this.#gate = new PauseGate(settings.windowMs)
  }

  decide(ask: Ask, answer: Answer): void {
    answer(this.#decide(ask))
  }

  #decide(ask: Ask): Taken | Shortfall {
    const nowMs = this.#roll(this.#pool)
    const tenant = ask.tenant && this.#tenantAccount(ask.tenant)
    const refusal = longestRefusal(
      this.#gate.shut(nowMs),
      this.#pool.shortage(this.#ceilings(ask, this.#settings.limits), ask, nowMs),
      ask.tenant && tenant?.shortage(this.#ceilings(ask, ask.tenant.limits), ask, nowMs),
    )
    if (refusal !== undefined) return { ...refusal, granted: false, degraded: false }
    const charge = { ...this.#pool.charge(ask), tenant: ask.tenant, report: 0 }
    tenant?.charge(ask)
    const probeOfPauseMs = this.#gate.pass(nowMs)
    return { granted: true, degraded: false, charge, ...(probeOfPauseMs !== undefined && { probeOfPauseMs }) }
  }

  adjust(charge: StoredCharge, by: Amount): void {
    this.#roll(this.#pool)
    this.#pool.adjust(charge, by)
    if (charge.tenant !== undefined) this.#tenantAccount(charge.tenant).adjust(charge, by)
  }

  probed(pauseEndMs: number, passed: boolean): void {
    this.#gate.probed(pauseEndMs, passed)
  }

  async pause(request: PauseRequest): Promise<void> {
    const nowMs = this.#roll(this.#pool)
    const { windowMs } = this.#settings
    const { pause, shrinks } = pauseLength(request, { nowMs, dayEndMs: this.#pool.dayEndMs, windowMs })
    this.#gate.learn(pause)
    if (shrinks) this.#pool.shrinkage = shrunk(this.#pool.shrinkage, nowMs, windowMs)
  }

  async usage(): Promise<QuotaUsage> {
    const nowMs = this.#roll(this.#pool)
    return {
      ...usageOfAccount(this.#pool, this.#settings.limits, nowMs),
      pause: this.#gate.pause.untilMs > nowMs ? this.#gate.pause : null,
      degraded: false,
      instances: 1,
    }
  }

  async close(): Promise<void> {}

  #ceilings(ask: Ask, limits: Partial<QuotaLimits>): QuotaLimits {
    return ceilingsFor(ask.priority, limits, this.#settings.safetyMargin)
  }

  #tenantAccount(tenant: Tenant): Account {
    let account = this.#tenants.get(tenant.id)
    if (account === undefined) {
      this.#forgetYesterdaysTenants()
      account = new Account(this.#settings.windowMs)
      this.#tenants.set(tenant.id, account)
    }
    this.#roll(account)
    return account
  }

  #forgetYesterdaysTenants(): void {
    if (this.#tenantsOfDayEnd === this.#pool.dayEndMs) return
    this.#tenantsOfDayEnd = this.#pool.dayEndMs
    for (const [id, account] of this.#tenants) {
      this.#roll(account)
      if (account.window.requests === 0 && account.day.requests === 0) this.#tenants.delete(id)
    }
  }

  #roll(account: Account): number {
    const nowMs = this.#settings.clock()
    account.roll(nowMs, this.#settings.day.endsAround(nowMs))
    return nowMs
  }
}
