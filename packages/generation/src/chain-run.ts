import type { Claim } from '@knowalledge/response-cache'
import { HttpError } from '@knowalledge/service-kit'
import { ModelError } from './errors.ts'
import { soonestOf, tookTooLong } from './failures.ts'
import type { Group } from './group.ts'
import { Run } from './run.ts'
import type { GenerationAnswer, GenerationSpec, RunContext, RunTools } from './types.ts'

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

/** A claim of the answer of the chain's model number `at`. */
export interface ChainClaim<T> extends Claim<T> {
  at: number
}

/**
 * One request to Gemini, for one client. The models of the chain are called one after the other, each with reservations from
 * its own pool; an answer is cached under the model that wrote it. When none answers, a stale copy of any of them does.
 */
export class ChainRun<T> {
  readonly #runs: Run<T>[]
  readonly #context: RunContext
  readonly #tools: RunTools
  readonly #operation: GenerationSpec<T>['operation']
  readonly #failures: HttpError[] = []
  readonly #untilMs: number

  constructor(spec: GenerationSpec<T>, context: RunContext, tools: RunTools) {
    this.#runs = spec.models.map((model, at) => {
      const hasNextPool = spec.models.some((other, later) => later > at && tools.poolOf(other) !== tools.poolOf(model))
      return new Run(model, { spec, context, tools, hasNextPool })
    })
    this.#context = context
    this.#tools = tools
    this.#operation = spec.operation
    this.#untilMs = performance.now() + this.#withinMs()
  }

  /** Looks for the best model's fresh answer; without one joins or leads a call of the first model. */
  async claim(group?: Group): Promise<ChainClaim<T>> {
    const held = this.#runs[0]?.peek()
    if (held) return { state: 'hit', result: Promise.resolve(held), at: 0 }
    if (this.#runs.length > 1) {
      const found = await Promise.all(this.#runs.map((run) => run.find()))
      const at = found.findIndex((answer) => answer !== undefined)
      const answer = found[at]
      if (answer) return { state: 'hit', result: Promise.resolve(answer), at }
    }
    return await this.#claimOf(0, group)
  }

  /** Notes that the model number `at` failed, and claims the answer of the next one; undefined when there is none to try. */
  async claimNext(at: number, error: unknown, group?: Group): Promise<ChainClaim<T> | undefined> {
    const next = this.nextAfter(at, error)
    if (error instanceof HttpError) this.#failures.push(error)
    return next === undefined ? undefined : await this.#claimOf(next, group)
  }

  /** The model to call after this failure; undefined when no other model would help. */
  nextAfter(at: number, error: unknown): number | undefined {
    if (!(error instanceof ModelError)) return undefined
    const { poolOf } = this.#tools
    const poolAt = (index: number) => poolOf(this.#runs[index]?.model ?? '')
    const next = this.#runs.findIndex(
      (_, index) => index > at && (error.of === 'model' || poolAt(index) !== poolAt(at)),
    )
    return next < 0 ? undefined : next
  }

  /** The answer of a claim, a new one by default, or a stale copy. Throws HttpError. */
  async answer(claimed?: ChainClaim<T>): Promise<GenerationAnswer<T>> {
    const { metrics } = this.#tools
    try {
      let claim = claimed ?? (await this.claim())
      for (;;) {
        const { at } = claim
        const run = this.#runs[at] as Run<T>
        try {
          const { value, layer, coalesced } = await run.resultOf(claim, () => this.#claimOf(at))
          metrics.cacheOperation(this.#operation, coalesced && layer === 'miss' ? 'coalesced' : layer)
          return { value, model: run.model, layer, cached: layer !== 'miss', fromFallback: false }
        } catch (error) {
          const isLate = performance.now() >= this.#untilMs
          const next = isLate ? undefined : await this.claimNext(at, error)
          if (next === undefined) throw error
          claim = next
        }
      }
    } catch (thrown) {
      const error = toHttpError(thrown)
      const failure = error instanceof ModelError ? soonestOf([...this.#failures, error]) : error
      metrics.cacheOperation(this.#operation, 'miss')
      return await this.#staleInsteadOf(failure)
    }
  }

  async #claimOf(at: number, group?: Group): Promise<ChainClaim<T>> {
    // The first model has all of the time; those after it have what is left.
    const withinMs = at === 0 ? this.#withinMs() : Math.max(1, Math.ceil(this.#untilMs - performance.now()))
    const claim = await (this.#runs[at] as Run<T>).claim(withinMs, group)
    return { ...claim, at }
  }

  #withinMs(): number {
    const waitMs = Math.max(0, Math.ceil((this.#context.wait?.untilMs ?? 0) - performance.now()))
    return this.#tools.timeoutMs + clientGraceMs + waitMs
  }

  async #staleInsteadOf(error: HttpError): Promise<GenerationAnswer<T>> {
    if (!staleIfError.has(error.code)) throw error
    for (const run of this.#runs) {
      const stale = await run.stale()
      if (!stale) continue
      this.#tools.metrics.cacheOperation(this.#operation, 'fallback')
      this.#context.log.info({ operation: this.#operation, instead_of: error.code }, 'served the stale copy')
      return { value: stale.value, model: run.model, layer: 'fallback', cached: true, fromFallback: true }
    }
    throw error
  }
}

/** An error of a call, or the reason of a signal that ended the wait for it. */
export function toHttpError(thrown: unknown): HttpError {
  if (thrown instanceof HttpError) return thrown
  if (thrown instanceof DOMException) return tookTooLong(thrown) // of the claim's signal: TimeoutError or AbortError
  throw thrown
}
