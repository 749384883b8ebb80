import type { Metrics } from '@knowalledge/metrics'
import type { QuotaClient } from '@knowalledge/quota-client'
import { type Answer, answerTags, type Claim, cacheKey, type ResponseCache } from '@knowalledge/response-cache'
import { HttpError } from '@knowalledge/service-kit'
import { isOfAnotherTenant, isRefusal, tookTooLong } from './failures.ts'
import { createGroup, type Group } from './group.ts'
import { callGuarded, type GuardedCallTools } from './guarded-call.ts'
import { inSpan } from './spans.ts'
import { TokenEstimates } from './token-estimates.ts'
import type { Generation, GenerationAnswer, GenerationSpec, RunContext } from './types.ts'

export interface GenerationOptions {
  quota: QuotaClient
  cache: ResponseCache
  metrics: Metrics
  /** Patience with one answer in milliseconds, retries included. */
  timeoutMs: number
  /** False: reserve the specs' own estimates for good. Default true: they learn. */
  adaptiveEstimates?: boolean
  /** 0 ≤ x < 1, for the jitter of retries. Default Math.random. */
  random?: () => number
}

/** Errors that a stale copy is better than; what is the question's own fault stays an error. */
const betterStale = new Set([
  'quota_exceeded',
  'quota_unavailable',
  'gemini_unavailable',
  'gemini_not_configured',
  'gemini_bad_answer',
  'timeout',
])

/** A client is patient a little longer than the call is, so that it hears what became of the call. */
const clientGraceMs = 200

/** The one path that every Gemini call takes: cache → coalesce → reserve → call → settle → check → store, or a stale copy. */
export function createGeneration(options: GenerationOptions): Generation {
  const { random = Math.random, adaptiveEstimates = true } = options
  const estimates = new TokenEstimates(adaptiveEstimates)
  return new GuardedGeneration(options.cache, { ...options, estimates, random })
}

class GuardedGeneration implements Generation {
  readonly #cache: ResponseCache
  readonly #tools: GuardedCallTools

  constructor(cache: ResponseCache, tools: GuardedCallTools) {
    this.#cache = cache
    this.#tools = tools
  }

  async run<T>(spec: GenerationSpec<T>, context: RunContext): Promise<GenerationAnswer<T>> {
    return await this.#answer(spec, context, () => this.#claim(spec, context))
  }

  async runAll<T>(
    specs: GenerationSpec<T>[],
    context: RunContext,
  ): Promise<PromiseSettledResult<GenerationAnswer<T>>[]> {
    const { quota, metrics, estimates, timeoutMs } = this.#tools
    const tokensEach = Math.max(0, ...specs.map((spec) => estimates.tokens(spec)))
    const group = createGroup({
      quota,
      metrics,
      tokensEach,
      timeoutMs,
      signal: context.signal,
      outcome: context.outcome,
      tenant: context.tenant,
    })
    const claims = await Promise.all(specs.map((spec) => this.#claim(spec, context, group)))
    group.open(claims.filter((claim) => claim.state === 'lead').length)
    return await Promise.allSettled(
      specs.map((spec, index) => this.#answer(spec, context, async () => claims[index] as Claim<T>)),
    )
  }

  async #claim<T>(spec: GenerationSpec<T>, context: RunContext, group?: Group): Promise<Claim<T>> {
    const key = answerKey(spec)
    const held = this.#cache.peek<T>(key) // most answers: without the signals, timers and tags that the others need
    if (held) return { state: 'hit', result: Promise.resolve(held) }
    return await inSpan('cache.claim', { operation: spec.operation }, () =>
      this.#cache.claim<T>(key, {
        produce: async (signal) => {
          const reservation = await group?.take()
          const produced = await callGuarded(spec, this.#tools, { ...context, signal, reservation })
          if (produced.store) this.#tools.metrics.cacheOperation(spec.operation, 'store')
          return produced
        },
        signal: AbortSignal.any([context.signal, AbortSignal.timeout(this.#tools.timeoutMs + clientGraceMs)]),
        tags: answerTags(spec),
      }),
    )
  }

  /**
   * What another caller was refused need not be refused to this one, who then asks for itself: once for the shared quota, as
   * that may have been asked for a whole presentation; as often as it was another tenant's own limit.
   */
  async #resultOf<T>(spec: GenerationSpec<T>, context: RunContext, first: Claim<T>): Promise<Answer<T>> {
    let claim = first
    for (let isFirst = true; ; isFirst = false) {
      try {
        return await claim.result
      } catch (error) {
        const isAnothers = isFirst && claim.state === 'wait' && isRefusal(error)
        if (!isAnothers && !isOfAnotherTenant(error, context.tenant)) throw error
      }
      claim = await this.#claim(spec, context)
    }
  }

  async #answer<T>(
    spec: GenerationSpec<T>,
    context: RunContext,
    claiming: () => Promise<Claim<T>>,
  ): Promise<GenerationAnswer<T>> {
    const { metrics } = this.#tools
    try {
      const { value, layer, coalesced } = await this.#resultOf(spec, context, await claiming())
      metrics.cacheOperation(spec.operation, coalesced && layer === 'miss' ? 'coalesced' : layer)
      return { value, layer, cached: layer !== 'miss', fromFallback: false }
    } catch (thrown) {
      const error = toHttpError(thrown)
      metrics.cacheOperation(spec.operation, 'miss')
      const stale = betterStale.has(error.code) ? await this.#cache.stale<T>(answerKey(spec)) : undefined
      if (!stale) throw error
      metrics.cacheOperation(spec.operation, 'fallback')
      context.log.info({ operation: spec.operation, instead_of: error.code }, 'served the stale copy')
      return { value: stale.value, layer: 'fallback', cached: true, fromFallback: true }
    }
  }
}

/** Under which an answer to this question is cached. */
export function answerKey<T>({ operation, promptVersion, model, language, input }: GenerationSpec<T>): string {
  return cacheKey({ operation, promptVersion, model, language, input })
}

function toHttpError(thrown: unknown): HttpError {
  if (thrown instanceof HttpError) return thrown
  if (thrown instanceof DOMException) return tookTooLong(thrown) // the caller's own patience: TimeoutError or AbortError
  throw thrown
}
