import { setTimeout as sleep } from 'node:timers/promises'
import { type GeminiAnswer, GeminiError, type TokenUsage } from '@knowalledge/gemini'
import type { Place, Reservation } from '@knowalledge/quota-client'
import { type Answer, answerTags, type Claim, cacheKey, type Produced, type Stored } from '@knowalledge/response-cache'
import { HttpError, inSpan } from '@knowalledge/service-kit'
import { geminiFailure, isOfAnotherClient, isRefusal, pauseAll, quotaRefusal } from './failures.ts'
import type { Group } from './group.ts'
import { checkAnswer, type Outcome, type Remedy, settleFailure, tokensIn, tokensOfLonger } from './outcome.ts'
import { reserve } from './reserve.ts'
import { TimeLimit, withTimeLimit } from './time-limit.ts'
import type { CallOptions, GenerationSpec, RunContext, RunTools } from './types.ts'
import { waitForOther, writePlace } from './waiting-line.ts'

const retryBaseMs = 200
/** Tells those who wait for the same call. */
type Tell = (progress: string) => void

/** How many times as long an answer may be that was cut off. */
const longerFactor = 2

interface RunOptions<T> {
  spec: GenerationSpec<T>
  context: RunContext
  tools: RunTools
  /** A later model of the chain has another pool, so that nobody waits for the end of a pause. */
  hasNextPool: boolean
}

/** One request to one model, for one client: from the cache, from another's call, or from Gemini. */
export class Run<T> {
  readonly model: string
  readonly #spec: GenerationSpec<T>
  readonly #context: RunContext
  readonly #tools: RunTools
  readonly #hasNextPool: boolean

  constructor(model: string, { spec, context, tools, hasNextPool }: RunOptions<T>) {
    this.model = model
    this.#spec = spec
    this.#context = context
    this.#tools = tools
    this.#hasNextPool = hasNextPool
  }

  /** A fresh copy in memory, at once: most answers need no more. */
  peek(): Answer<T> | undefined {
    return this.#tools.cache.peek<T>(this.#key)
  }

  /** A fresh copy, in memory or Redis. */
  find(): Promise<Answer<T> | undefined> {
    return this.#tools.cache.get<T>(this.#key)
  }

  stale(): Promise<Stored<T> | undefined> {
    return this.#tools.cache.stale<T>(this.#key)
  }

  /**
   * Looks into the cache, joins a call in flight, or leads one; with a `group`, with its part of a common reservation.
   */
  async claim(withinMs: number, group?: Group): Promise<Claim<T>> {
    const { cache, timeoutMs } = this.#tools
    const limit = new TimeLimit(this.#context.signal, withinMs)
    const claim = await inSpan('cache.claim', { operation: this.#spec.operation }, () =>
      cache.claim<T>(this.#key, {
        produce: (unwanted, tell) =>
          withTimeLimit(unwanted, timeoutMs, (limit) => this.#produce(limit, { unwanted, group, tell })),
        onProgress: (place) => waitForOther(this.#context.wait, this, { place, limit }),
        signal: limit.signal,
        tags: answerTags(this.#spec),
      }),
    )
    const { closing } = this.#context.wait ?? {}
    // An instance that closes finishes its own calls, and does not wait for those of others.
    if (claim.state === 'wait' && closing) limit.follow(closing)
    claim.result.catch(() => {}).finally(() => limit.end()) // who has the claim sees the failure
    return claim
  }

  get #key(): string {
    return answerKey(this.#spec, this.model)
  }

  /**
   * The result of a claim. A refusal of another client's call may not apply to this one, which then claims again: once for a
   * refusal by the shared quota, which may have been requested for a whole presentation; as often as it was another client's
   * own limit or share.
   */
  async resultOf(first: Claim<T>, claimAgain: () => Promise<Claim<T>>): Promise<Answer<T>> {
    let claim = first
    for (let isFirst = true; ; isFirst = false) {
      try {
        return await claim.result
      } catch (error) {
        const hasWaited = claim.state === 'wait'
        const isAnothers = isFirst && hasWaited && isRefusal(error)
        if (!isAnothers && !isOfAnotherClient(error, this.#context.tenant, hasWaited)) throw error
      } finally {
        this.#context.wait?.line.delete(this)
      }
      claim = await claimAgain()
    }
  }

  /**
   * Reserve → call → settle → check. 5xx and resets are retried at most twice, exponentially with full jitter; an unusable
   * answer is requested once more where the spec says so, one that was cut off with room for a longer one. Each attempt has
   * a reservation of its own; when that is refused, the failure stands. `unwanted` aborts when nobody waits for the answer any more.
   */
  async #produce(
    limit: TimeLimit,
    { unwanted, group, tell }: { unwanted: AbortSignal; group: Group | undefined; tell: Tell },
  ): Promise<Produced<T>> {
    const { metrics, random } = this.#tools
    const grouped = await group?.take()
    limit.restart() // what a group has taken to reserve is not the call's time
    const { operation, askAgain } = this.#spec
    const left: Record<Remedy, number> = {
      retry: 2,
      ask_again: askAgain ? 1 : 0,
      longer: 1,
      line_up: Infinity,
      none: 0,
    }
    const ask = { outputFactor: 1, tokens: this.#estimate }
    const reserveAgain = async () => {
      if (!this.#context.wait) return await this.#reserve(ask.tokens, { signal: limit.signal, tell })
      limit.pause() // the time in line is the client's and not the call's
      const reservation = await this.#reserve(ask.tokens, { signal: unwanted, tell })
      limit.restart()
      return reservation
    }
    let reservation = grouped ?? (await reserveAgain())
    for (let delayMs = retryBaseMs; ; delayMs *= 2) {
      // A grant that is too old stays charged; the call needs another one.
      while (!reservation.start()) reservation = await reserveAgain()
      const outcome = await this.#attempt(reservation, { outputFactor: ask.outputFactor, signal: limit.signal })
      if ('accepted' in outcome) {
        const { value, passed } = outcome.accepted
        if (passed) metrics.cacheOperation(operation, 'store')
        return { value, store: passed }
      }
      const { error, remedy, tokens = ask.tokens } = outcome
      if (left[remedy]-- === 0) throw error
      if (remedy === 'longer') Object.assign(ask, { outputFactor: longerFactor, tokens })
      try {
        if (remedy === 'retry') await sleep(random() * delayMs, undefined, { signal: limit.signal })
        reservation = await reserveAgain()
      } catch (cause) {
        // Out of time or quota: the failure that was to be retried is the result.
        throw limit.signal.aborted || cause instanceof HttpError ? error : cause
      }
    }
  }

  get #estimate(): number {
    return this.#tools.estimates.tokens(this.#spec, this.model)
  }

  async #reserve(tokens: number, { signal, tell }: { signal: AbortSignal; tell: Tell }): Promise<Reservation> {
    const { priority } = this.#spec
    const amount = { requests: 1, tokens, priority }
    const onPlace = (place: Place | undefined) => tell(place ? writePlace(place) : '')
    const hasNextPool = this.#hasNextPool
    const reserveTools = { ...this.#tools, ...this.#tools.poolOf(this.model), hasNextPool, onPlace }
    const verdict = await reserve(amount, reserveTools, { ...this.#context, signal })
    if (!verdict.granted) throw quotaRefusal(verdict)
    this.#context.onStart?.()
    return verdict.reservation
  }

  async #attempt(reservation: Reservation, ask: Omit<CallOptions, 'model'>): Promise<Outcome<T>> {
    const { operation } = this.#spec
    const { model } = this
    const { countedTokens } = this.#tools
    const startedAtMs = performance.now()
    let answer: GeminiAnswer<unknown>
    try {
      answer = await inSpan(`gemini ${operation}`, { model }, () => this.#spec.call({ model, ...ask }))
    } catch (error) {
      if (!(error instanceof GeminiError)) throw error
      settleFailure(error, reservation, countedTokens)
      this.#record(error.kind, startedAtMs, error.usage)
      this.#context.log.warn({ operation, model, kind: error.kind, reason: error.message }, 'Gemini call failed')
      return await this.#failed(error)
    }
    this.#context.outcome.model = answer.modelVersion
    const tokens = tokensIn(answer.usage, countedTokens)
    if (tokens > 0) {
      // Zero means that Google named no figure, as Imagen never does: then the estimate stays charged.
      reservation.settle(tokens)
      this.#tools.metrics.quotaEstimateRatio(operation, tokens / reservation.tokens)
      this.#tools.estimates.settled(this.#spec, model, tokens)
    }
    this.#record('success', startedAtMs, answer.usage)
    return await checkAnswer(answer.value, this.#spec, this.#tools.metrics)
  }

  #record(status: 'success' | GeminiError['kind'], startedAtMs: number, usage?: TokenUsage): void {
    const { outcome } = this.#context
    const { totalTokens = 0, promptTokens: inputTokens = 0 } = usage ?? {}
    outcome.gemini_calls = (outcome.gemini_calls ?? 0) + 1
    outcome.tokens = (outcome.tokens ?? 0) + totalTokens
    const { operation: endpoint } = this.#spec
    const durationMs = performance.now() - startedAtMs
    this.#tools.metrics.geminiCall({ endpoint, model: this.model, status, durationMs, totalTokens, inputTokens })
  }

  async #failed(error: GeminiError): Promise<Outcome<T>> {
    if (error.kind === 'rate_limited') {
      const { untilMs = 0 } = this.#context.wait ?? {}
      const mayLineUp = performance.now() < untilMs && !error.pause?.terminal && !this.#hasNextPool
      const { quota } = this.#tools.poolOf(this.model)
      return { error: await pauseAll(error, quota), remedy: mayLineUp ? 'line_up' : 'none' }
    }
    if (error.kind === 'cut_off') {
      const { countedTokens: counted } = this.#tools
      const tokens = tokensOfLonger(error, { factor: longerFactor, estimate: this.#estimate, counted })
      return { error: geminiFailure(error), remedy: 'longer', tokens }
    }
    const askAgain = error.kind === 'malformed' && this.#spec.askAgain
    return { error: geminiFailure(error), remedy: error.retryable ? 'retry' : askAgain ? 'ask_again' : 'none' }
  }
}

/** The key under which an answer of this model is cached. */
export function answerKey<T>({ operation, promptVersion, language, input }: GenerationSpec<T>, model: string): string {
  return cacheKey({ operation, promptVersion, model, language, input })
}
