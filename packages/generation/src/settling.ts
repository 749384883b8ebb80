import type { GeminiError, TokenUsage } from '@knowalledge/gemini'
import type { Reservation } from '@knowalledge/quota-client'

/** Which tokens are charged to the quota: all that a call used, or those of its input, as Google counts against its TPM. */
export type CountedTokens = 'total' | 'input'

/** The tokens of a call that are charged; 0 where Google named none. */
export function tokensIn({ totalTokens, promptTokens }: TokenUsage, counted: CountedTokens): number {
  return counted === 'input' ? promptTokens : totalTokens
}

/** A call that provably never reached Google is released; one of unknown cost stays charged with its estimate. */
export function settleFailure(error: GeminiError, reservation: Reservation, counted: CountedTokens): void {
  const tokens = error.usage ? tokensIn(error.usage, counted) : 0
  if (!error.reachedGemini) reservation.release()
  else if (tokens > 0) reservation.settle(tokens)
  else if (error.kind === 'rate_limited') reservation.settle(0) // the request counts, its tokens were not spent
}

/** The most that the same call can use when its answer, which was cut off, may be `factor` times as long. */
export function tokensOfLonger(
  { usage }: GeminiError,
  { factor, estimate, counted }: { factor: number; estimate: number; counted: CountedTokens },
): number {
  if (counted === 'input') return estimate
  return Math.max(estimate, usage ? usage.promptTokens + factor * usage.outputTokens : factor * estimate)
}
