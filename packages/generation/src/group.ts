import type { Reservation } from '@knowalledge/quota-client'
import { presentationTooLarge, quotaRefusal } from './failures.ts'
import { reserve } from './reserve.ts'
import type { RunContext, RunTools } from './types.ts'

/** Several calls reserved together, all or nothing, once it is known how many of them this client has to make. */
export class Group {
  readonly #model: string
  readonly #tools: RunTools
  readonly #context: RunContext
  readonly #parts = Promise.withResolvers<Reservation[]>()

  constructor(model: string, tools: RunTools, context: RunContext) {
    this.#model = model
    this.#tools = tools
    this.#context = context
    this.#parts.promise.catch(() => {}) // a refusal reaches every call that takes; with no call left it is no fault
  }

  /** For each call that leads: its part of the common reservation, or undefined beyond it. Throws HttpError when refused. */
  async take(): Promise<Reservation | undefined> {
    return (await this.#parts.promise).pop()
  }

  /** Reserves; called once, when it is known which answers were found, waited for or led. Resolves with the refusal, if any. */
  async open(calls: number, tokensEach: number): Promise<unknown> {
    this.#parts.resolve(this.#reserveAll(calls, tokensEach))
    return await this.#parts.promise.then(
      () => undefined,
      (refusal) => refusal,
    )
  }

  async #reserveAll(calls: number, tokensEach: number): Promise<Reservation[]> {
    if (calls === 0) return []
    const amount = { requests: calls, tokens: calls * tokensEach, priority: 'batch' } as const
    const verdict = await reserve(amount, { ...this.#tools, ...this.#tools.poolOf(this.#model) }, this.#context)
    if (verdict.granted) return verdict.reservation.split(calls)
    throw verdict.reason === 'too_large' ? presentationTooLarge(calls, verdict, tokensEach) : quotaRefusal(verdict)
  }
}
