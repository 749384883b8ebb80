import type { Cluster, Redis } from 'ioredis'

export type LimitType = 'rpm' | 'rpd' | 'tpm' | 'tpd'

/** What a provider allows: requests and tokens, in any window of `windowMs` and in a calendar day. */
export interface QuotaLimits {
  rpm: number
  rpd: number
  tpm: number
  tpd: number
}

/** Interactive calls may fill a limit; batch calls only up to the safety margin, so that a waiting person still gets in. */
export type Priority = 'interactive' | 'batch'

export interface QuotaClientOptions {
  /** Shared state. Without it the client is the in-memory twin with the same contract. */
  redis?: Redis | Cluster | undefined
  /** One pool is one provider project's quota; it names the keys. */
  pool: string
  limits: QuotaLimits
  /** Share of each limit that batch calls may fill, 0 < margin ≤ 1. Default 0.8. */
  safetyMargin?: number
  /** Length of the "minute" in milliseconds. Default 60,000; tests scale it down. */
  windowMs?: number
  /** IANA zone whose midnight ends the day. Default America/Los_Angeles, as Google's. */
  dayTimeZone?: string
  /** Milliseconds since the epoch, for the in-memory twin and local enforcement. Default Date.now. */
  clock?: () => number
  /**
   * How many instances to assume while Redis is down and none has been seen yet, at a start without Redis. Default 1.
   * Afterwards the number last seen counts.
   */
  assumedInstances?: number
  /** How long a reservation waits for Redis, in milliseconds, before this instance decides by itself. Default 50. */
  answerWithinMs?: number
  /** Told about each fault of Redis once per change of state, for the log. */
  onFault?: (fault: { state: 'degraded' | 'recovered'; cause?: unknown }) => void
}

export interface Tenant {
  id: string
  limits: Partial<QuotaLimits>
}

export interface ReserveRequest {
  /** Whole number ≥ 1. */
  requests: number
  /** Estimated tokens of all of them together, whole number ≥ 0. */
  tokens: number
  priority: Priority
  /** A tenant's own limits, checked in the same round trip; a refusal by either takes nothing from the other. */
  tenant?: Tenant | undefined
}

export interface Reservation {
  readonly requests: number
  readonly tokens: number
  /** Replaces the estimate by the tokens really used. Only the first settle or release counts. */
  settle(actualTokens: number): void
  /** Gives all of it back. Only for a call that provably never reached the provider. */
  release(): void
  /** Divides an all-or-nothing reservation into one per call (requests ÷ parts and tokens ÷ parts each), each settled by itself. */
  split(parts: number): Reservation[]
}

export interface Granted {
  granted: true
  /** True when Redis could not be asked and this instance enforced its own share. */
  degraded: boolean
  reservation: Reservation
}

export interface Refused {
  granted: false
  degraded: boolean
  /** `spent`: a limit is full. `paused`: the provider said stop. `too_large`: no wait will ever be enough. */
  reason: 'spent' | 'paused' | 'too_large'
  limitType: LimitType | 'upstream'
  /** The whole limit (or the batch ceiling, for a batch call) that refused; 0 for `upstream`. */
  limit: number
  /** Enough for the same request to be admitted when nothing else arrives; Infinity for `too_large`. */
  retryAfterMs: number
  /** Set when the tenant's own limit refused. */
  tenant?: string
}

export type Verdict = Granted | Refused

export interface WindowUsage {
  current: number
  limit: number
  remaining: number
  /** 0..100, one decimal. */
  percentage: number
  /** For the minute: until the oldest use leaves the window; for the day: until the day ends. */
  resetsInMs: number
}

export interface Pause {
  limitType: LimitType | 'upstream'
  /** Milliseconds since the epoch. */
  untilMs: number
}

/** A provider's 429. Without `untilMs` it did not say for how long. */
export interface PauseRequest {
  limitType: LimitType | 'upstream'
  /** Milliseconds since the epoch. */
  untilMs?: number | undefined
}

export interface QuotaUsage {
  requests: { perMinute: WindowUsage; perDay: WindowUsage }
  tokens: { perMinute: WindowUsage; perDay: WindowUsage }
  pause: Pause | null
  degraded: boolean
  /** Instances that reserved lately, as this one last saw them; a client that only reads is not one. */
  instances: number
}

export interface QuotaClient {
  reserve(request: ReserveRequest): Promise<Verdict>
  /** The four windows of the shared state: the same figures on every instance. Never throws; `degraded` says when they are local. */
  usage(): Promise<QuotaUsage>
  /**
   * After a provider's 429: nobody in the fleet reserves until `untilMs`. Without it a day's limit pauses until the day
   * ends; any other pauses a twelfth of a window and draws the minute's limits in by a fifth, which come back over five windows.
   */
  pause(pause: PauseRequest): Promise<void>
  /** Sends what is still to be settled, then lets go. Does not close `redis`, which belongs to the caller. */
  close(): Promise<void>
}
