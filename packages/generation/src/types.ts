import type { GeminiAnswer } from '@knowalledge/gemini'
import type { Endpoint } from '@knowalledge/metrics'
import type { Priority, Tenant } from '@knowalledge/quota-client'

/** One question to Gemini, with everything that its guarded path needs to know. */
export interface GenerationSpec<T> {
  operation: Endpoint
  /** Changes with the prompt, so that answers to an older prompt are not served. */
  promptVersion: string
  /** The configured model; part of the cache key and the metrics' label. */
  model: string
  language: string
  /** What the answer depends on. */
  input: Record<string, string | number | undefined>
  /** For invalidation, beside the operation's own tag. */
  topic?: string
  priority: Priority
  /** Tokens to reserve for one call, until it is known what such calls use. */
  estimatedTokens: number
  /** Asks Gemini. Must heed `signal`. */
  call(signal: AbortSignal): Promise<GeminiAnswer<unknown>>
  /** Parses and checks what came back; throws UnusableAnswer when nothing of it can be shown. */
  accept(raw: unknown): Accepted<T> | Promise<Accepted<T>>
  /** Once more when the answer is malformed, unusable or failed its check; then a failed check is an error too. */
  askAgain?: boolean
}

export interface Accepted<T> {
  value: T
  /** False: shown to those who wait, but never cached. */
  passed: boolean
}

/** Thrown by `accept`: Gemini answered, but not with something that can be shown. */
export class UnusableAnswer extends Error {
  override name = 'UnusableAnswer'
}

export interface GenerationAnswer<T> {
  value: T
  /** For the X-Cache header. */
  layer: 'memory' | 'redis' | 'miss' | 'fallback'
  /** True for every layer but `miss`. */
  cached: boolean
  /** True for a stale copy, served because a fresh answer could not be had. */
  fromFallback: boolean
}

export interface RunContext {
  /** Aborts when the client has gone. */
  signal: AbortSignal
  log: GenerationLog
  /** Told what the run did, for the request's log line. */
  outcome: RunOutcome
  /** On whose behalf; its own limits hold beside the shared ones. */
  tenant?: Tenant | undefined
}

/** Of the calls that this request led; empty for an answer from the cache or from someone else's call. */
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
}

export interface Generation {
  /** Answers one question: from the cache, from someone else's call, from Gemini, or from a stale copy. Throws HttpError. */
  run<T>(spec: GenerationSpec<T>, context: RunContext): Promise<GenerationAnswer<T>>
  /**
   * Answers several at once. Those that need a call are reserved together, all or nothing; each falls back, fails or
   * succeeds on its own. A rejected entry's reason is an HttpError.
   */
  runAll<T>(specs: GenerationSpec<T>[], context: RunContext): Promise<PromiseSettledResult<GenerationAnswer<T>>[]>
}
