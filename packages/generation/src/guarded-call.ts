import { setTimeout as sleep } from 'node:timers/promises'
import { type GeminiAnswer, GeminiError } from '@knowalledge/gemini'
import type { Metrics } from '@knowalledge/metrics'
import type { QuotaClient, Reservation, Tenant, Verdict } from '@knowalledge/quota-client'
import type { Produced } from '@knowalledge/response-cache'
import type { HttpError } from '@knowalledge/service-kit'
import { countRefusal, geminiFailure, quotaOutcome, quotaRefusal, unusableAnswer } from './failures.ts'
import { pauseFleet } from './pause-fleet.ts'
import { reserveInTime } from './reserve-in-time.ts'
import { inSpan } from './spans.ts'
import type { TokenEstimates } from './token-estimates.ts'
import { type Accepted, type GenerationLog, type GenerationSpec, type RunOutcome, UnusableAnswer } from './types.ts'

export interface GuardedCallTools {
  quota: QuotaClient
  metrics: Metrics
  estimates: TokenEstimates
  /** Patience with one answer in milliseconds, retries included. */
  timeoutMs: number
  /** 0 ≤ x < 1, for the jitter of retries. */
  random: () => number
}

export interface GuardedRun {
  /** Aborts when nobody waits for the answer any more. */
  signal: AbortSignal
  log: GenerationLog
  outcome: RunOutcome
  tenant?: Tenant | undefined
  /** For the first try; without it the call makes its own. */
  reservation?: Reservation | undefined
}

const retryBaseMs = 200

/** What cures a failure: waiting and trying again, asking again at once, or nothing. */
type Remedy = 'retry' | 'ask_again' | 'none'
type Outcome<T> = { accepted: Accepted<T> } | { error: HttpError; remedy: Remedy }

/**
 * Reserve → call → settle → check. 5xx and resets are retried at most twice, exponentially with full jitter; an answer
 * of no use is asked for once more where the spec says so. Each further try has a reservation of its own; when that is
 * refused, the failure stands. Throws HttpError.
 */
export async function callGuarded<T>(
  spec: GenerationSpec<T>,
  tools: GuardedCallTools,
  run: GuardedRun,
): Promise<Produced<T>> {
  const signal = AbortSignal.any([run.signal, AbortSignal.timeout(tools.timeoutMs)])
  const left: Record<Remedy, number> = { retry: 2, ask_again: spec.askAgain ? 1 : 0, none: 0 }
  let reservation = run.reservation ?? (await reserveOrThrow(spec, tools, run))
  for (let delayMs = retryBaseMs; ; delayMs *= 2) {
    // A grant that is too old stays charged; the call needs another one.
    while (!reservation.start()) reservation = await reserveOrThrow(spec, tools, run)
    const outcome = await tryOnce(spec, reservation, { tools, signal, run })
    if ('accepted' in outcome) return { value: outcome.accepted.value, store: outcome.accepted.passed }
    if (left[outcome.remedy]-- === 0) throw outcome.error
    if (outcome.remedy === 'retry') await sleepOrThrow(tools.random() * delayMs, signal, outcome.error)
    const verdict = await reserve(spec, tools, run)
    if (!verdict.granted) throw outcome.error
    reservation = verdict.reservation
  }
}

async function reserveOrThrow<T>(
  spec: GenerationSpec<T>,
  tools: GuardedCallTools,
  run: GuardedRun,
): Promise<Reservation> {
  const verdict = await reserve(spec, tools, run)
  if (!verdict.granted) throw quotaRefusal(verdict)
  return verdict.reservation
}

async function reserve<T>(
  spec: GenerationSpec<T>,
  { quota, metrics, estimates, timeoutMs }: GuardedCallTools,
  { outcome, tenant, signal }: GuardedRun,
): Promise<Verdict> {
  const { priority } = spec
  const tokens = estimates.tokens(spec)
  const verdict = await inSpan('quota.reserve', { tokens, priority }, () =>
    reserveInTime(quota, { requests: 1, tokens, priority, tenant }, { signal, timeoutMs }),
  )
  outcome.quota = quotaOutcome(verdict)
  if (!verdict.granted) countRefusal(metrics, verdict)
  return verdict
}

interface Try {
  tools: GuardedCallTools
  signal: AbortSignal
  run: GuardedRun
}

async function tryOnce<T>(
  spec: GenerationSpec<T>,
  reservation: Reservation,
  { tools, signal, run: { log, outcome } }: Try,
): Promise<Outcome<T>> {
  let answer: GeminiAnswer<unknown>
  const startedAt = performance.now()
  const record = (status: 'success' | GeminiError['kind'], totalTokens = 0) => {
    outcome.gemini_calls = (outcome.gemini_calls ?? 0) + 1
    outcome.tokens = (outcome.tokens ?? 0) + totalTokens
    tools.metrics.geminiCall({
      endpoint: spec.operation,
      model: spec.model,
      status,
      durationMs: performance.now() - startedAt,
      totalTokens,
    })
  }
  try {
    answer = await inSpan(`gemini ${spec.operation}`, { model: spec.model }, () => spec.call(signal))
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error
    settleFailure(error, reservation)
    record(error.kind, error.usage?.totalTokens)
    log.warn(
      { operation: spec.operation, model: spec.model, kind: error.kind, reason: error.message },
      'Gemini call failed',
    )
    return failureOutcome(error, spec, tools)
  }
  outcome.model = answer.modelVersion
  const { totalTokens } = answer.usage
  if (totalTokens > 0) {
    // Zero means that Google did not say, as Imagen never does: then the estimate stands.
    reservation.settle(totalTokens)
    tools.metrics.quotaEstimateRatio(spec.operation, totalTokens / reservation.tokens)
    tools.estimates.settled(spec, totalTokens)
  }
  record('success', totalTokens)
  return await judge(spec, answer)
}

/** A call that provably never reached Google is given back whole; one of unknown cost stays charged with its estimate. */
function settleFailure(error: GeminiError, reservation: Reservation): void {
  if (!error.reachedGemini) reservation.release()
  else if (error.usage?.totalTokens) reservation.settle(error.usage.totalTokens)
  else if (error.kind === 'rate_limited') reservation.settle(0) // the request counts, its tokens were not spent
}

async function failureOutcome<T>(
  error: GeminiError,
  spec: GenerationSpec<T>,
  { quota }: GuardedCallTools,
): Promise<Outcome<T>> {
  if (error.kind === 'rate_limited') return { error: await pauseFleet(quota, error), remedy: 'none' }
  const remedy = error.retryable ? 'retry' : error.kind === 'malformed' && spec.askAgain ? 'ask_again' : 'none'
  return { error: geminiFailure(error), remedy }
}

async function judge<T>(spec: GenerationSpec<T>, answer: GeminiAnswer<unknown>): Promise<Outcome<T>> {
  try {
    const accepted = await spec.accept(answer.value)
    if (accepted.passed || !spec.askAgain) return { accepted }
    return { error: unusableAnswer(new UnusableAnswer('the answer failed its quality check')), remedy: 'ask_again' }
  } catch (error) {
    if (!(error instanceof UnusableAnswer)) throw error
    return { error: unusableAnswer(error), remedy: spec.askAgain ? 'ask_again' : 'none' }
  }
}

async function sleepOrThrow(delayMs: number, signal: AbortSignal, otherwise: HttpError): Promise<void> {
  await sleep(delayMs, undefined, { signal }).catch(() => {
    throw otherwise // out of time: the failure that was to be retried is what happened
  })
}
