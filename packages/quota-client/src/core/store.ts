import type {
  PauseRequest,
  Place,
  Priority,
  QuotaHealth,
  QuotaLimits,
  QuotaUsage,
  Refused,
  Runtime,
  Tenant,
  WindowUsage,
} from '../types.ts'
import type { Amount, Charge } from './account.ts'
import type { CalendarDay } from './calendar-day.ts'

/** Options with their defaults, and the lengths that follow from them. */
export interface Settings {
  pool: string
  /** What is shared: the limits less the outage budgets. */
  limits: QuotaLimits
  safetyMargin: number
  windowMs: number
  transitMs: number
  /** Deviation of a clock that a window has room for. */
  slackMs: number
  /** How long a charge stays: the window, and as much longer as calls may travel and clocks deviate. */
  ringMs: number
  day: CalendarDay
  /** Most calls in line. */
  longestQueue: number
}

/** A charge that stands in the pool's account and, for a tenant's call, in the tenant's as well. */
export interface StoredCharge extends Charge {
  incarnation: number
  tenant: Tenant | undefined
}

export interface Taken {
  granted: true
  degraded: boolean
  charge: StoredCharge
  /** Who takes adjustments of it. */
  ledger: { adjust(charge: StoredCharge, by: Amount): void }
  /** Young enough to be used. */
  isFresh: () => boolean
  /** The end of the pause after which this is the first call: the others wait for it. */
  probeOfPauseMs?: number | undefined
}

export type Denied = Omit<Refused, 'limit' | 'tenant'> & { tenantRefused: boolean }
export interface Request extends Amount {
  priority: Priority
  tenant: Tenant | undefined
  /** Set when the call may wait in line. */
  wait?: Wait | undefined
}

export interface Wait {
  maxWaitMs: number
  client: string
  signal: AbortSignal | undefined
  onWaiting: ((place: Place) => void) | undefined
}

/** Where use is kept: in Redis for a fleet, in memory for one process. Both keep the contract of test/contract.test.ts. */
export interface Store {
  /** Answers once, now or later. */
  decide(request: Request, answer: (decision: Taken | Denied) => void): void
  /** The probe after the pause that ended at `pauseEndMs` has returned: `served` when the provider served it. */
  probed(pauseEndMs: number, served: boolean): void
  pause(pause: PauseRequest): Promise<void>
  usage(): Promise<QuotaUsage>
  health(): QuotaHealth
  close(): Promise<void>
}

/** Whether a grant that is requested now is still young enough to be used, when asked later. */
export function freshness(runtime: Runtime, { transitMs, slackMs }: Settings): () => boolean {
  const sentMs = runtime.monotonicMs()
  const leadMs = runtime.wallMs() - sentMs
  return () => {
    const nowMs = runtime.monotonicMs()
    // While a machine is paused its monotonic clock stands still, and its wall clock runs ahead when it is corrected.
    return nowMs - sentMs <= transitMs && Math.abs(runtime.wallMs() - nowMs - leadMs) <= slackMs
  }
}

/** The four windows as shown to people. */
export function usageOf(
  limits: QuotaLimits,
  use: { window: Amount; day: Amount; dayLeftMs: number; oldestLeavesInMs: Amount },
): Pick<QuotaUsage, 'requests' | 'tokens'> {
  const of = (current: number, limit: number, resetsInMs: number): WindowUsage => {
    const percentage = Math.min(100, Math.round((current / limit) * 1000) / 10)
    const remaining = Math.max(0, limit - current)
    return { current, limit, remaining, percentage, resetsInMs: Math.max(0, Math.ceil(resetsInMs)) }
  }
  const windows = (kind: keyof Amount, perMinute: number, perDay: number) => ({
    perMinute: of(use.window[kind], perMinute, use.oldestLeavesInMs[kind]),
    perDay: of(use.day[kind], perDay, use.dayLeftMs),
  })
  return { requests: windows('requests', limits.rpm, limits.rpd), tokens: windows('tokens', limits.tpm, limits.tpd) }
}
