import { setTimeout as sleep } from 'node:timers/promises'
import { type GeminiAnswer, GeminiError } from '@knowalledge/gemini'
import type { Reservation } from '@knowalledge/quota-client'
import { type Answer, answerTags, type Claim, cacheKey, type Produced } from '@knowalledge/response-cache'
import { HttpError, inSpan } from '@knowalledge/service-kit'
import { geminiFailure, isOfAnotherClient, isRefusal, quotaRefusal, tookTooLong, unusableAnswer } from './failures.ts'
import type { Group } from './group.ts'
import { reserve } from './reserve.ts'
import {
  type Accepted,
  type GenerationAnswer,
  type GenerationSpec,
  type Quality,
  type RunContext,
  type RunTools,
  UnusableAnswer,
} from './types.ts'

/** Errors for which a stale copy is served instead; errors of the request itself stay errors. */
const staleIfError = new Set([
  'quota_exceeded',
  'quota_unavailable',
  'gemini_unavailable',
  'gemini_not_configured',
  'gemini_bad_answer',
  'timeout',
])

/** A client waits a little longer than the call may take, so that it gets the outcome of the call. */
const clientGraceMs = 200
const retryBaseMs = 200
/** Length of the pause after a 429 that waiting does not cure: spent credits, a tier without access. */
const terminalPauseMs = 60_000

/** What cures a failed attempt: waiting and calling again, calling again at once, or nothing. */
type Remedy = 'retry' | 'ask_again' | 'none'
type Outcome<T> = { accepted: Accepted<T> } | { error: HttpError; remedy: Remedy }

/** One request to Gemini, for one client: from the cache, from another's call, from Gemini, or from a stale copy. */
export class Run<T> {
  readonly #spec: GenerationSpec<T>
  readonly #context: RunContext
  readonly #tools: RunTools

  constructor(spec: GenerationSpec<T>, context: RunContext, tools: RunTools) {
    this.#spec = spec
    this.#context = context
    this.#tools = tools
  }

  /** Looks into the cache, joins a call in flight, or leads one; with a `group`, with its part of a common reservation. */
  async claim(group?: Group): Promise<Claim<T>> {
    const { cache, timeoutMs } = this.#tools
    const key = answerKey(this.#spec)
    const held = cache.peek<T>(key) // most answers: without the signals, timers and tags that the others need
    if (held) return { state: 'hit', result: Promise.resolve(held) }
    return await inSpan('cache.claim', { operation: this.#spec.operation }, () =>
      cache.claim<T>(key, {
        produce: (unwanted) => this.#produce(unwanted, group),
        signal: AbortSignal.any([
          this.#context.signal,
          AbortSignal.timeout(timeoutMs + clientGraceMs + this.#waitMs()),
        ]),
        tags: answerTags(this.#spec),
      }),
    )
  }

  /** The answer of a claim, a new one by default, or a stale copy. Throws HttpError. */
  async answer(claim?: Claim<T>): Promise<GenerationAnswer<T>> {
    const { cache, metrics } = this.#tools
    const { operation } = this.#spec
    try {
      const { value, layer, coalesced } = await this.#resultOf(claim ?? (await this.claim()))
      metrics.cacheOperation(operation, coalesced && layer === 'miss' ? 'coalesced' : layer)
      return { value, layer, cached: layer !== 'miss', fromFallback: false }
    } catch (thrown) {
      const error = toHttpError(thrown)
      metrics.cacheOperation(operation, 'miss')
      const stale = staleIfError.has(error.code) ? await cache.stale<T>(answerKey(this.#spec)) : undefined
      if (!stale) throw error
      metrics.cacheOperation(operation, 'fallback')
      this.#context.log.info({ operation, instead_of: error.code }, 'served the stale copy')
      return { value: stale.value, layer: 'fallback', cached: true, fromFallback: true }
    }
  }

  /**
   * A refusal of another client's call may not apply to this one, which then claims again: once for a refusal by the shared
   * quota, which may have been requested for a whole presentation; as often as it was another client's own limit or share.
   */
  async #resultOf(first: Claim<T>): Promise<Answer<T>> {
    let claim = first
    for (let isFirst = true; ; isFirst = false) {
      try {
        return await claim.result
      } catch (error) {
        const hasWaited = claim.state === 'wait'
        const isAnothers = isFirst && hasWaited && isRefusal(error)
        if (!isAnothers && !isOfAnotherClient(error, this.#context.tenant, hasWaited)) throw error
      }
      claim = await this.claim()
    }
  }

  /**
   * Reserve → call → settle → check. 5xx and resets are retried at most twice, exponentially with full jitter; an unusable
   * answer is requested once more where the spec says so. Each attempt has a reservation of its own; when that is refused,
   * the failure stands. `unwanted` aborts when nobody waits for the answer any more.
   */
  async #produce(unwanted: AbortSignal, group: Group | undefined): Promise<Produced<T>> {
    const { metrics, random, timeoutMs } = this.#tools
    const { operation, askAgain } = this.#spec
    const grouped = await group?.take()
    const inTime = () => AbortSignal.any([unwanted, AbortSignal.timeout(timeoutMs)])
    let signal = inTime()
    const left: Record<Remedy, number> = { retry: 2, ask_again: askAgain ? 1 : 0, none: 0 }
    const reserveAgain = async () => {
      const reservation = await this.#reserve(this.#context.wait ? unwanted : signal)
      if (this.#context.wait) signal = inTime() // the time in line is the client's and not the call's
      return reservation
    }
    let reservation = grouped ?? (await reserveAgain())
    for (let delayMs = retryBaseMs; ; delayMs *= 2) {
      // A grant that is too old stays charged; the call needs another one.
      while (!reservation.start()) reservation = await reserveAgain()
      const outcome = await this.#attempt(reservation, signal)
      if ('accepted' in outcome) {
        const { value, passed } = outcome.accepted
        if (passed) metrics.cacheOperation(operation, 'store')
        return { value, store: passed }
      }
      const { error, remedy } = outcome
      if (left[remedy]-- === 0) throw error
      try {
        if (remedy === 'retry') await sleep(random() * delayMs, undefined, { signal })
        reservation = await reserveAgain()
      } catch (cause) {
        // Out of time or quota: the failure that was to be retried is the result.
        throw signal.aborted || cause instanceof HttpError ? error : cause
      }
    }
  }

  #waitMs(): number {
    return Math.max(0, Math.ceil((this.#context.wait?.untilMs ?? 0) - performance.now()))
  }

  async #reserve(signal: AbortSignal): Promise<Reservation> {
    const { priority } = this.#spec
    const amount = { requests: 1, tokens: this.#tools.estimates.tokens(this.#spec), priority }
    const verdict = await reserve(amount, this.#tools, { ...this.#context, signal })
    if (!verdict.granted) throw quotaRefusal(verdict)
    return verdict.reservation
  }

  async #attempt(reservation: Reservation, signal: AbortSignal): Promise<Outcome<T>> {
    const { operation, model } = this.#spec
    const startedAtMs = performance.now()
    let answer: GeminiAnswer<unknown>
    try {
      answer = await inSpan(`gemini ${operation}`, { model }, () => this.#spec.call(signal))
    } catch (error) {
      if (!(error instanceof GeminiError)) throw error
      settleFailure(error, reservation)
      this.#record(error.kind, startedAtMs, error.usage?.totalTokens)
      this.#context.log.warn({ operation, model, kind: error.kind, reason: error.message }, 'Gemini call failed')
      return await this.#failed(error)
    }
    this.#context.outcome.model = answer.modelVersion
    const { totalTokens } = answer.usage
    if (totalTokens > 0) {
      // Zero means that Google named no figure, as Imagen never does: then the estimate stays charged.
      reservation.settle(totalTokens)
      this.#tools.metrics.quotaEstimateRatio(operation, totalTokens / reservation.tokens)
      this.#tools.estimates.settled(this.#spec, totalTokens)
    }
    this.#record('success', startedAtMs, totalTokens)
    return await this.#check(answer)
  }

  #record(status: 'success' | GeminiError['kind'], startedAtMs: number, totalTokens = 0): void {
    const { outcome } = this.#context
    outcome.gemini_calls = (outcome.gemini_calls ?? 0) + 1
    outcome.tokens = (outcome.tokens ?? 0) + totalTokens
    const { operation: endpoint, model } = this.#spec
    const durationMs = performance.now() - startedAtMs
    this.#tools.metrics.geminiCall({ endpoint, model, status, durationMs, totalTokens })
  }

  async #failed(error: GeminiError): Promise<Outcome<T>> {
    if (error.kind === 'rate_limited') return { error: await this.#pauseAll(error), remedy: 'none' }
    const askAgain = error.kind === 'malformed' && this.#spec.askAgain
    return { error: geminiFailure(error), remedy: error.retryable ? 'retry' : askAgain ? 'ask_again' : 'none' }
  }

  /** Turns a 429 of Gemini into a pause of all instances, and into the error for this client. */
  async #pauseAll(error: GeminiError): Promise<HttpError> {
    const { quota } = this.#tools
    const { limitType = 'upstream', delayMs, untilDayEnds, terminal } = error.pause ?? {}
    const pauseMs = terminal ? terminalPauseMs : untilDayEnds ? undefined : delayMs
    // Without a delay the quota client decides: until the day ends for a day's limit, shortly for another one.
    await quota.pause({ limitType, untilMs: pauseMs === undefined ? undefined : Date.now() + pauseMs })
    if (terminal) return geminiFailure(error)
    const { pause } = await quota.usage()
    const retryAfterMs = pauseMs ?? Math.max(0, (pause?.untilMs ?? 0) - Date.now())
    return quotaRefusal({ reason: 'paused', limitType, limit: 0, retryAfterMs })
  }

  async #check(answer: GeminiAnswer<unknown>): Promise<Outcome<T>> {
    const { accept, askAgain } = this.#spec
    try {
      const accepted = await accept(answer.value)
      this.#recordQuality(accepted.quality)
      if (accepted.passed || !askAgain) return { accepted }
      return { error: unusableAnswer(new UnusableAnswer('the answer failed its quality check')), remedy: 'ask_again' }
    } catch (error) {
      if (!(error instanceof UnusableAnswer)) throw error
      this.#recordQuality(error.quality)
      return { error: unusableAnswer(error), remedy: askAgain ? 'ask_again' : 'none' }
    }
  }

  #recordQuality(quality: Quality | undefined): void {
    if (!quality) return
    const { metrics } = this.#tools
    const { content, score, issues, generated = 0 } = quality
    metrics.contentQuality(content, score)
    for (const { type } of issues) metrics.validationFailure(content, type)
    if (generated > 0) metrics.contentGenerated(content, generated)
  }
}

/** The key under which the answer is cached. */
export function answerKey<T>({ operation, promptVersion, model, language, input }: GenerationSpec<T>): string {
  return cacheKey({ operation, promptVersion, model, language, input })
}

/** A call that provably never reached Google is released; one of unknown cost stays charged with its estimate. */
function settleFailure(error: GeminiError, reservation: Reservation): void {
  if (!error.reachedGemini) reservation.release()
  else if (error.usage?.totalTokens) reservation.settle(error.usage.totalTokens)
  else if (error.kind === 'rate_limited') reservation.settle(0) // the request counts, its tokens were not spent
}

function toHttpError(thrown: unknown): HttpError {
  if (thrown instanceof HttpError) return thrown
  if (thrown instanceof DOMException) return tookTooLong(thrown) // of the claim's signal: TimeoutError or AbortError
  throw thrown
}
