import type { GeminiErrorKind, PauseAdvice, TokenUsage } from './types.ts'

/** The one error that leaves this package. Its message is for our log, never for a client's eyes. */
export class GeminiError extends Error {
  readonly kind: GeminiErrorKind
  /** False only when the call provably never reached Google, so that its quota may be given back. */
  readonly reachedGemini: boolean
  /** True for what a later try may cure by itself: 5xx and resets. */
  readonly retryable: boolean
  readonly pause: PauseAdvice | undefined
  /** Tokens that Google reported for a call whose answer was of no use. */
  readonly usage: TokenUsage | undefined

  constructor(kind: GeminiErrorKind, message: string, details: GeminiErrorDetails = {}) {
    super(message, { cause: details.cause })
    this.name = 'GeminiError'
    this.kind = kind
    this.reachedGemini = details.reachedGemini ?? true
    this.retryable = details.retryable ?? false
    this.pause = details.pause
    this.usage = details.usage
  }
}

interface GeminiErrorDetails {
  reachedGemini?: boolean
  retryable?: boolean
  pause?: PauseAdvice
  usage?: TokenUsage
  cause?: unknown
}
