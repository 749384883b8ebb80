import type { GeminiError, TokenUsage } from '@knowalledge/gemini'
import type { Metrics } from '@knowalledge/metrics'
import type { Reservation } from '@knowalledge/quota-client'
import type { HttpError } from '@knowalledge/service-kit'
import { unusableAnswer } from './failures.ts'
import { type Accepted, type CountedTokens, type GenerationSpec, type Quality, UnusableAnswer } from './types.ts'

/**
 * What cures a failed attempt: a short wait and another call, another call at once, a longer answer, another place in line, or
 * nothing.
 */
export type Remedy = 'retry' | 'ask_again' | 'longer' | 'line_up' | 'none'

/** What became of one call; `tokens`: the most that another one can use. */
export type Outcome<T> = { accepted: Accepted<T> } | { error: HttpError; remedy: Remedy; tokens?: number }

/** Checks what Gemini answered, and records what was found. */
export async function checkAnswer<T>(
  raw: unknown,
  { accept, askAgain }: GenerationSpec<T>,
  metrics: Metrics,
): Promise<Outcome<T>> {
  try {
    const accepted = await accept(raw)
    recordQuality(accepted.quality, metrics)
    if (accepted.passed || !askAgain) return { accepted }
    return { error: unusableAnswer(new UnusableAnswer('the answer failed its quality check')), remedy: 'ask_again' }
  } catch (error) {
    if (!(error instanceof UnusableAnswer)) throw error
    recordQuality(error.quality, metrics)
    return { error: unusableAnswer(error), remedy: askAgain ? 'ask_again' : 'none' }
  }
}

function recordQuality(quality: Quality | undefined, metrics: Metrics): void {
  if (!quality) return
  const { content, score, issues, generated = 0 } = quality
  metrics.contentQuality(content, score)
  for (const { type } of issues) metrics.validationFailure(content, type)
  if (generated > 0) metrics.contentGenerated(content, generated)
}

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
