import type { GeminiAnswer } from '@knowalledge/gemini'
import type { ContentType, Endpoint, Metrics } from '@knowalledge/metrics'
import type { Place, Priority, QuotaClient, Tenant } from '@knowalledge/quota-client'
import type { ResponseCache } from '@knowalledge/response-cache'
import type { BudgetClient, ClientBudget } from './client-budget.ts'
import type { Chain } from './models.ts'
import type { PlaceOwner, PlacesInLine } from './places-in-line.ts'
import type { TokenEstimates } from './token-estimates.ts'

/** Which tokens are charged to the quota: all that a call used, or those of its input, as Google counts against its TPM. */
export type CountedTokens = 'total' | 'input'

/** One request to Gemini, with everything that its path needs to know. */
export interface GenerationSpec<T> {
  operation: Endpoint
  /** Changes with the prompt, so that answers to an older prompt are not served. */
  promptVersion: string
  /** Best first. The one that answers is part of the cache key and the metrics' label. */
  models: Chain
  language: string
  /** What the answer depends on. */
  input: Record<string, string | number | undefined>
  /** For invalidation, beside the operation's own tag. */
  topic?: string
  priority: Priority
  /** Tokens to reserve for one call, until it is known what such calls use. */
  estimatedTokens: number
  /** Calls Gemini. Must obey `signal`. */
  call(ask: CallOptions): Promise<GeminiAnswer<unknown>>
  /** Parses and checks the answer; throws UnusableAnswer when nothing of it can be shown. */
  accept(raw: unknown): Accepted<T> | Promise<Accepted<T>>
  /** Once more when the answer is malformed, unusable or failed its check; then a failed check is an error too. */
  askAgain?: boolean
}

export interface CallOptions {
  model: string
  /** By this the bound of the answer is multiplied: 1, or more after an answer that was cut off. */
  outputFactor: number
  signal: AbortSignal
}

export interface Accepted<T> {
  value: T
  /** False: shown to those who wait, but never cached. */
  passed: boolean
  quality?: Quality
}

/** What the check of an answer found, for the metrics. */
export interface Quality {
  content: ContentType
  /** 0 to 1. */
  score: number
  issues: readonly { type: string }[]
  /** How many items can be shown. */
  generated?: number
}

/** Thrown by `accept`: Gemini answered, but not with something that can be shown. */
export class UnusableAnswer extends Error {
  override name = 'UnusableAnswer'
  readonly quality: Quality | undefined

  constructor(message: string, quality?: Quality) {
    super(message)
    this.quality = quality
  }
}

export interface GenerationAnswer<T> {
  value: T
  /** That wrote it: the name from the chain. */
  model: string
  /** For the X-Cache header. */
  layer: 'memory' | 'redis' | 'miss' | 'fallback'
  /** True for every layer but `miss`. */
  cached: boolean
  /** True for a stale copy, served because no fresh answer is available. */
  fromFallback: boolean
}

/** One account of quota at Google: every call is charged to the pool of its model. */
export interface Pool {
  quota: QuotaClient
  /** Divides the quota among clients. Absent: it goes to whoever calls first. */
  budget?: ClientBudget | undefined
}

/** What all runs of a process share. */
export interface RunTools {
  poolOf(model: string): Pool
  cache: ResponseCache
  metrics: Metrics
  estimates: TokenEstimates
  countedTokens: CountedTokens
  /** Timeout of one answer in milliseconds, retries included. */
  timeoutMs: number
  /** 0 ≤ x < 1, for the jitter of retries. */
  random: () => number
}

/** The client's part of a run. */
export interface RunContext {
  /** Aborts when the client has gone. */
  signal: AbortSignal
  log: GenerationLog
  /** Filled in by the run, for the request's log line. */
  outcome: RunOutcome
  /** Its own limits apply beside the shared ones. */
  tenant?: Tenant | undefined
  /** Whose share of the quota its calls take, and whose turn it is in line. */
  client?: BudgetClient | undefined
  /** Notified when a call of Gemini may start. */
  onStart?: () => void
  /** Absent: what cannot start now is refused. */
  wait?: RunWait | undefined
}

export interface RunWait {
  /** On the clock of `performance.now()`. */
  untilMs: number
  /** Aborts then. */
  expired: AbortSignal
  places: PlacesInLine
  /** Whose places the request's calls take: its own, its client's, its address'. */
  owners: PlaceOwner[]
  /** When those start that are in line now, on the same clock. */
  line: Map<object, number>
  /** Aborts, with an HttpError, when this instance closes. */
  closing: AbortSignal
  /** Notified whenever the first start of the request's calls in line has moved. */
  onPlace?(place: Place): void
}

/** The client has used its share of the quota, or has as many `places` in line as it may. */
export interface ClientRefused {
  granted: false
  reason: 'client'
  limitType: 'client'
  places?: number
  retryAfterMs: number
}

/** The calls that this request led; empty for an answer from the cache or from another request's call. */
export interface RunOutcome {
  quota?: 'granted' | 'degraded' | 'refused'
  gemini_calls?: number
  tokens?: number
  model?: string
}

/** The part of pino that is used here. */
export interface GenerationLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface Generation {
  /** One answer: from the cache, from a call in flight, from Gemini, or a stale copy. Throws HttpError. */
  run<T>(spec: GenerationSpec<T>, context: RunContext): Promise<GenerationAnswer<T>>
  /**
   * Several answers at once. Those that need a call are reserved together, all or nothing, or, where the client waits, line up
   * one by one; each falls back, fails or succeeds on its own. `onSettled` gets them in the order of their completion. A rejected entry's reason is an HttpError.
   */
  runAll<T>(specs: GenerationSpec<T>[], context: RunContext, onSettled?: OnSettled<T>): Promise<Settled<T>[]>
}

export type Settled<T> = PromiseSettledResult<GenerationAnswer<T>>
export type OnSettled<T> = (settled: Settled<T>, index: number) => void
