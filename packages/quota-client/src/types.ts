import type { RedisFault, UnavailableCause } from '@knowalledge/redis-kit'
import type { Cluster, Redis } from 'ioredis'

/** What the client takes from its surroundings; the simulator in ../sim brings its own. */
export interface Runtime {
  /** Milliseconds of a clock that never steps. */
  monotonicMs(): number
  /** Milliseconds since the epoch; may step. */
  wallMs(): number
  /** Calls back once. Keeps no process alive. */
  setTimer(callback: () => void, ms: number): Timer
  /** Calls back at the end of this turn of the event loop. */
  defer(callback: () => void): void
  /** 0 ≤ x < 1. */
  random(): number
}

export interface Timer {
  cancel(): void
}

export type LimitType = 'rpm' | 'rpd' | 'tpm' | 'tpd'

/** What a provider allows: requests and tokens, in any window of `windowMs` and in a calendar day. */
export type QuotaLimits = Record<LimitType, number>

/** Interactive calls may fill a limit; batch calls only up to the safety margin, so that interactive ones still get in. */
export type Priority = 'interactive' | 'batch'

/** Why a pool grants nothing: no state, a restart or lost writes of Redis, a clock's step, another length of the ring. */
export type HoldCause = 'empty' | 'restart' | 'clock' | 'configuration'

export interface QuotaClientOptions {
  /** Made with `redisOptions` or `clusterOptions` of redis-kit. Without it the quota is kept in this process alone. */
  redis?: Redis | Cluster | undefined
  /** One pool is one provider project's quota; it names the key. */
  pool: string
  limits: QuotaLimits
  /** Share of each limit that batch calls may fill, 0 < margin ≤ 1. Default 0.8. */
  safetyMargin?: number
  /** Length of the provider's minute in milliseconds. Default 60,000; tests scale it down. */
  windowMs?: number
  /** For how long a grant may be used after it was requested, and the timeout of Redis, in milliseconds. Default 500. */
  transitMs?: number
  /** IANA zone whose midnight ends the day. Default America/Los_Angeles, as Google's. */
  dayTimeZone?: string
  /** `open`: an empty state is used at once, without the hold of one window. For development. Default `hold`. */
  newPool?: 'hold' | 'open'
  /** An `observer` only reads `usage`: it sends no heartbeats and is not counted. Default `member`. */
  role?: 'member' | 'observer'
  /** After `close()` this member's limits stay in force for the length of a window, as if it had been killed. Default false. */
  lingers?: boolean
  /** Most calls in line; batch calls may fill nine tenths of it. Default 10,000. */
  maxQueueLength?: number
  /** A part of the limits that each instance may use while Redis cannot be used. Default none. */
  outage?: OutageBudget | undefined
  /** Notified once per change: the shared state cannot be used, and it can be used again. */
  onFault?: (fault: RedisFault) => void
  /** Notified once per hold that this instance sees. */
  onHold?: (hold: Hold) => void
}

export interface OutageBudget {
  /** Requests in any window for one instance; tokens and days in proportion. */
  rpm: number
  /** The budgets of so many instances are always subtracted from the shared limits. */
  maxInstances: number
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
  /**
   * For how long the call may wait in line for its start, in milliseconds. 0, the default: it is refused at once. So is a call
   * whose start would come later.
   */
  maxWaitMs?: number | undefined
  /** Clients take turns in line. Calls without a client are taken in the order of their arrival. At most 128 characters. */
  client?: string | undefined
  /** Gives up the place in line: `reserve` rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Notified when the call has a place in line, and whenever it moves up or its start moves by more than a second. */
  onWaiting?: ((place: Place) => void) | undefined
}

/** A place in line. */
export interface Place {
  /** An estimate: exact for interactive calls unless a fault intervenes; a batch call makes way for them. */
  startsInMs: number
  /** 1: the next one to start. */
  position: number
}

export interface Reservation {
  readonly requests: number
  readonly tokens: number
  /** Call right before the request is sent. False: too old, it stays charged; reserve again. */
  start(): boolean
  /** Replaces the estimate by the tokens really used. Only the first settle or release counts. */
  settle(actualTokens: number): void
  /** Returns all of it. Only for a call that provably never reached the provider. */
  release(): void
  /** Divides an all-or-nothing reservation into one per call, each started and settled by itself. */
  split(parts: number): Reservation[]
}

export interface Granted {
  granted: true
  /** True when it comes from this instance's outage budget. */
  degraded: boolean
  reservation: Reservation
}

export interface Refused {
  granted: false
  /** True when Redis cannot be used. */
  degraded: boolean
  /**
   * `spent`: a limit is full. `paused`: the provider said stop. `too_large`: no wait will ever be enough. `hold`: nothing
   * is granted until the past is certain. `unavailable`: the shared state cannot be used.
   */
  reason: 'spent' | 'paused' | 'too_large' | 'hold' | 'unavailable'
  limitType: LimitType | 'upstream'
  /** The whole limit (or the batch ceiling, for a batch call) that refused; 0 when it was no limit. */
  limit: number
  /** Enough for the same request to be granted when nothing else arrives; Infinity for `too_large`. */
  retryAfterMs: number
  /** Set when the tenant's own limit refused. */
  tenant?: string
  /** Of `hold` and `unavailable`. */
  cause?: HoldCause | UnavailableCause
}

export type Verdict = Granted | Refused

export interface WindowUsage {
  current: number
  limit: number
  remaining: number
  /** 0..100, one decimal. */
  percentage: number
  /** For the minute: until the oldest use leaves the ring; for the day: until the day ends. */
  resetsInMs: number
}

/** A provider's 429. Without `untilMs` (milliseconds since the epoch) the provider named no time. */
export interface PauseRequest {
  limitType: LimitType | 'upstream'
  untilMs?: number | undefined
}

export type Pause = Required<PauseRequest> & { untilMs: number }

export interface Hold {
  cause: HoldCause
  endsInMs: number
}

export interface QuotaUsage {
  requests: { perMinute: WindowUsage; perDay: WindowUsage }
  tokens: { perMinute: WindowUsage; perDay: WindowUsage }
  pause: Pause | null
  hold: Hold | null
  /** Lengths of the holds that this instance has seen, added up by cause. */
  heldMs: Readonly<Record<HoldCause, number>>
  /** True while Redis cannot be used: the figures are the last ones that were seen. */
  degraded: boolean
  /** Why, while `degraded`. */
  unavailable: UnavailableCause | null
  /** Members heard within a window. */
  instances: number
  /** Calls in line, and in how many milliseconds one that came now would start. */
  queue: Record<Priority, { length: number; startsInMs: number }>
}

/** This instance's part in the pool. */
export type QuotaHealth =
  | { state: 'joining' | 'serving' }
  | { state: 'hold'; cause: HoldCause; endsInMs: number }
  | { state: 'unavailable'; cause: UnavailableCause }
  | { state: 'too_many_instances'; instances: number; maxInstances: number }

export interface QuotaClient {
  /** Rejects with a RangeError for amounts out of bounds, before anything is sent. */
  reserve(request: ReserveRequest): Promise<Verdict>
  /** The four windows of the shared state: the same figures on every instance. Never rejects. */
  usage(): Promise<QuotaUsage>
  /** What this instance last saw, without a call of Redis; for readiness checks. */
  health(): QuotaHealth
  /**
   * After a provider's 429: no instance reserves until `untilMs`. Without it a day's limit pauses until the day
   * ends; any other pauses a twelfth of a ring's length and shrinks the minute's limits by a fifth, which returns over five.
   */
  pause(pause: PauseRequest): Promise<void>
  /** Sends what is still to be settled, and leaves the pool. Does not close `redis`, which belongs to the caller. */
  close(): Promise<void>
}
