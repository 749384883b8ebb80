import type { Registry } from '@prometheus-io/client'

/** What `endpoint` may say: an operation's short name, never a URL. `unknown` is everything without a route of ours. */
export const endpoints = [
  'create_subtopics',
  'create_presentation',
  'image2topic',
  'generate_image',
  'images',
  'quota_stats',
  'session',
  'health',
  'ready',
  'metrics',
  'docs',
  'pages',
  'ops',
  'unknown',
] as const
export type Endpoint = (typeof endpoints)[number]

export const quotaLimitTypes = ['rpm', 'rpd', 'tpm', 'tpd', 'upstream', 'client'] as const
export type QuotaLimitType = (typeof quotaLimitTypes)[number]

export const quotaPriorities = ['interactive', 'batch'] as const
export type QuotaPriority = (typeof quotaPriorities)[number]

export const imageSources = ['gemini', 'imagen', 'cache', 'fallback'] as const
export type ImageSource = (typeof imageSources)[number]

export const cacheResults = ['memory', 'redis', 'miss', 'fallback', 'coalesced', 'store'] as const
export type CacheResult = (typeof cacheResults)[number]
export type ContentType = 'subtopics' | 'explanation' | 'topic'
export type Validator = ContentType | 'request'
export type CircuitState = 'closed' | 'half_open' | 'open'

/** `success`, or the gemini package's kind of error. */
export const geminiCallStatuses = [
  'success',
  'not_configured',
  'rate_limited',
  'rejected',
  'not_found',
  'blocked',
  'malformed',
  'cut_off',
  'unavailable',
  'timeout',
  'cancelled',
] as const
export type GeminiCallStatus = (typeof geminiCallStatuses)[number]

export interface GeminiCall {
  endpoint: Endpoint
  /** One of the models given to createMetrics; any other counts as `other`. */
  model: string
  status: GeminiCallStatus
  durationMs: number
  totalTokens?: number | undefined
  inputTokens?: number | undefined
}

/**
 * Records what happened, under the names, labels and buckets of DESIGN.md §6. Never throws: a label outside its closed
 * set becomes `other`, an amount that is not a finite number ≥ 0 is not recorded.
 */
export interface Metrics {
  quotaExceeded(limitType: QuotaLimitType): void
  /** A call that waited in line was granted or refused. */
  quotaWait(priority: QuotaPriority, waitMs: number): void
  /** Actual ÷ estimated tokens of a settled call. */
  quotaEstimateRatio(endpoint: Endpoint, ratio: number): void
  /**
   * Each lookup is one of `memory`, `redis`, `coalesced` (someone else's call answered) and `miss`; these make
   * `cache_hit_rate`. A stale answer is a `miss` and then a `fallback`; `store` is a write.
   */
  cacheOperation(operation: Endpoint, result: CacheResult): void
  geminiCall(call: GeminiCall): void
  /** Items that can be shown. Topics are not counted. */
  contentGenerated(contentType: ContentType, count: number): void
  imageGenerated(source: ImageSource): void
  /** `score` in 0..1. */
  contentQuality(contentType: ContentType, score: number): void
  /** `errorType` is a code of the error catalogue. */
  applicationError(endpoint: Endpoint, errorType: string): void
  /** `issueType` is the type of a quality issue, or the catalogue code of a refused request. */
  validationFailure(validator: Validator, issueType: string): void
  /** Shown as 0 closed, 1 half open, 2 open. */
  circuitBreakerState(service: string, state: CircuitState): void
}

/** Metrics with the registry they are kept in: one per app, so that several apps in one process do not mix. */
export interface AppMetrics extends Metrics {
  readonly registry: Registry
}

export interface MetricsOptions {
  /** The configured models: the values of the `model` label beside `other`. */
  models?: readonly string[]
  /**
   * What this process answers through Gemini: these counters start at 0 instead of appearing with their first event,
   * an increase that Prometheus would not see.
   */
  operations?: readonly Endpoint[]
  /** The codes of the error catalogue. Without them the first 50 snake_case codes seen are kept, later ones are `other`. */
  errorTypes?: readonly string[]
  /** The types of issue that validators report. Without them as for `errorTypes`. */
  issueTypes?: readonly string[]
  /** The names of services behind circuit breakers. Without them as for `errorTypes`. */
  services?: readonly string[]
}

export interface QuotaWindow {
  current: number
  limit: number
  remaining: number
}

/** A pool of the fleet's shared quota as the gauges show it; quota-client's QuotaUsage is one. */
export interface QuotaGauges {
  requests: { perMinute: QuotaWindow; perDay: QuotaWindow }
  tokens: { perMinute: QuotaWindow; perDay: QuotaWindow }
  /** Nothing is granted until it ends. */
  hold: { endsInMs: number } | null
  /** Of the provider; `untilMs` in milliseconds since the epoch, which may have passed. */
  pause: { untilMs: number } | null
  /** Lengths of the holds seen since the start, by cause. */
  heldMs: Readonly<Record<string, number>>
  degraded: boolean
  /** Calls in line. */
  queue: Readonly<Record<QuotaPriority, { length: number }>>
}

export interface QuotaPoolReader {
  /** The label `pool`. */
  name: string
  usage(): Promise<QuotaGauges>
}

export interface MetricsPluginOptions {
  metrics: AppMetrics
  /**
   * The quota's pools, each read once per scrape, which waits at most 20 ms for them. The gauges without a pool's name show the
   * first one. Without any there are no quota gauges.
   */
  quotaPools?: readonly QuotaPoolReader[] | undefined
  /** Clients with a call in line at this process, read when scraped. Absent where no call waits. */
  waitingClients?: (() => number) | undefined
  /** Entries in this process's memory cache, read when scraped. */
  cacheItems?: (() => { memory: number }) | undefined
  /**
   * How those who ask Redis find it, read when scraped: `circuit_breaker_state{service="redis"}`, which is open too
   * while the quota is degraded. Absent without Redis.
   */
  redisCircuit?: (() => CircuitState) | undefined
  /** Absent where no cache is kept in Redis. */
  isCacheWritable?: (() => boolean) | undefined
  /** Where `GET /metrics`, and nothing else, is served too. Without a port nowhere. */
  listener?: { host: string; port?: number | undefined }
}
