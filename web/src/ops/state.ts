/** What `GET /ops/events` sends. Times are milliseconds, and since the epoch where the name says `at` or `until`. */
export interface OpsState {
  atMs: number
  pools: Pool[]
  instances: Instance[]
  /** Look-ups since the start of the instances, by what answered them: a layer, `coalesced`, `miss`; and `fallback`, `store`. */
  cache: Counts
  gemini: Model[]
  /** Calls refused by a limit, since the start of the instances. */
  refused: Counts
  /** Longest first. Without the names of clients where these are not shown. */
  waiting: WaitingCall[]
  /** Most tokens first; null where clients are not shown. */
  clients: ClientUse[] | null
  /** True when ADMIN_TOKEN shows the clients. */
  needsToken: boolean
  /** Newest first. */
  faults: FaultRow[]
}

export type Counts = Partial<Record<string, number>>
export type Priority = 'interactive' | 'batch'

export interface Pool {
  name: string
  limits: Limit[]
  queue: Record<Priority, { length: number; startsInMs: number | null }>
  hold: { cause: string; endsInMs: number } | null
  pause: { limitType: string; untilMs: number } | null
  /** True while Redis cannot be used, and why. */
  degraded: boolean
  unavailable: string | null
}

/** `used` + `held` + `free` = `limit`. Held is what is neither used nor available now. */
export interface Limit {
  name: 'rpm' | 'tpm' | 'rpd' | 'tpd'
  limit: number
  used: number
  held: number
  free: number
  resetsInMs: number
}

export interface Instance {
  service: string
  url: string
  isUp: boolean
  version?: string
  uptimeSeconds?: number
  memoryBytes?: number
  eventLoopDelayMs?: number
}

export interface Model {
  model: string
  /** By status. */
  calls: Counts
  tokens: number
  seconds: number
  /** Calls that took at most so many seconds, by that bound; `+Inf` is all of them. */
  within: Counts
}

export interface WaitingCall {
  client: string
  priority: Priority
  waitedMs: number
  startsInMs: number
  position: number
}

export interface ClientUse {
  client: string
  questions: number
  failed: number
  geminiCalls: number
  tokens: number
  lastAtMs: number
}

export interface FaultRow {
  message: string
  kind: string
  remedy: string | undefined
  count: number
  atMs: number
  services: string[]
  /** A section of the runbook; undefined where it has none for this. */
  runbook: string | undefined
}
