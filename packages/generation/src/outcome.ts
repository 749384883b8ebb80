import type { Metrics } from '@knowalledge/metrics'
import type { HttpError } from '@knowalledge/service-kit'
import { unusableAnswer } from './failures.ts'
import { type Accepted, type GenerationSpec, type Quality, UnusableAnswer } from './types.ts'

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
