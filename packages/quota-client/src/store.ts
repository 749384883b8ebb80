import type { Amount, Charge } from './account.ts'
import type { LimitType, Pause, PauseRequest, Priority, QuotaUsage, Tenant } from './types.ts'

export interface Ask extends Amount {
  priority: Priority
  tenant: Tenant | undefined
}

export interface Shortfall {
  granted: false
  degraded: boolean
  reason: 'spent' | 'paused'
  limitType: LimitType | 'upstream'
  retryAfterMs: number
  /** True when the tenant's limits refused, not the pool's. */
  tenantRefused: boolean
}

/** A charge that stands in the pool's account and, for a tenant's call, in the tenant's as well. */
export interface StoredCharge extends Charge {
  tenant: Tenant | undefined
  /** The report that will carry a charge taken without Redis into the shared state; 0 for one taken by Redis. */
  report: number
}

export interface Taken {
  granted: true
  degraded: boolean
  charge: StoredCharge
  /** The end of the pause after which this is the first call: the others wait for it. */
  probeOfPauseMs?: number
}

export type Answer = (decision: Taken | Shortfall) => void

/** Where use is kept: in Redis for a fleet, in memory for one process. Both keep the contract of test/contract.ts. */
export interface Store {
  /** Answers once, now or later. Throws when it was closed. */
  decide(ask: Ask, answer: Answer): void
  /** Corrects a charge: negative for a refund, positive for an overrun. */
  adjust(charge: StoredCharge, by: Amount): void
  /** The probe after the pause that ended at `pauseEndMs` has come back: `passed` when the provider served it. */
  probed(pauseEndMs: number, passed: boolean): void
  pause(pause: PauseRequest): Promise<void>
  usage(): Promise<QuotaUsage>
  close(): Promise<void>
}

export const noPause: Pause = { limitType: 'upstream', untilMs: 0 }

export type Refusal = Pick<Shortfall, 'reason' | 'limitType' | 'retryAfterMs' | 'tenantRefused'>
type Wait = { limitType: LimitType | 'upstream'; retryAfterMs: number } | undefined

/** Of a pause, the pool's and the tenant's shortage, the one that lasts longest: waiting it out is enough for all three. */
export function longestRefusal(paused: Wait, pool: Wait, tenant: Wait): Refusal | undefined {
  let longest: Refusal | undefined
  const consider = (wait: Wait, reason: Refusal['reason'], tenantRefused: boolean) => {
    if (wait !== undefined && wait.retryAfterMs > (longest?.retryAfterMs ?? 0))
      longest = { reason, tenantRefused, limitType: wait.limitType, retryAfterMs: wait.retryAfterMs }
  }
  consider(paused, 'paused', false)
  consider(pool, 'spent', false)
  consider(tenant, 'spent', true)
  return longest
}
