import type { Ask, Shortfall } from './store.ts'

interface Remembered {
  requests: number
  tokens: number
  forgetAtMs: number
  retryAtMs: number
  shortfall: Shortfall
}

/**
 * Spares Redis the question that it has just answered: an ask that would wait for the same bucket to leave is refused alike. Times are those of a clock that only runs forward.
 */
export class RefusalMemory {
  readonly #refusals = new Map<string, Remembered>()

  recall(ask: Ask, clock: () => number): Shortfall | undefined {
    if (this.#refusals.size === 0) return undefined
    const nowMs = clock()
    const key = keyOf(ask)
    const refusal = this.#refusals.get(key)
    if (refusal === undefined) return undefined
    if (nowMs >= refusal.forgetAtMs) {
      this.#refusals.delete(key)
      return undefined
    }
    if (!answers(refusal, ask)) return undefined
    return { ...refusal.shortfall, retryAfterMs: Math.ceil(refusal.retryAtMs - nowMs) }
  }

  /** Keeps a refusal for at most the rest of its bucket. */
  keep(ask: Ask, shortfall: Shortfall, at: { nowMs: number; bucketLeftMs: number }): void {
    const { requests, tokens } = ask
    const forgetAtMs = at.nowMs + Math.min(at.bucketLeftMs, shortfall.retryAfterMs)
    this.#refusals.set(keyOf(ask), {
      requests,
      tokens,
      forgetAtMs,
      retryAtMs: at.nowMs + shortfall.retryAfterMs,
      shortfall,
    })
  }

  /** Something was given back: what was refused may fit now. */
  clear(): void {
    if (this.#refusals.size > 0) this.#refusals.clear()
  }
}

/** The same ask, or one with fewer tokens when it is the requests that were refused: its wait is the same. */
function answers({ requests, tokens, shortfall }: Remembered, ask: Ask): boolean {
  if (ask.requests !== requests) return false
  return ask.tokens === tokens || (ask.tokens < tokens && shortfall.limitType.startsWith('r'))
}

function keyOf(ask: Ask): string {
  return ask.tenant === undefined ? ask.priority : `${ask.priority} ${ask.tenant.id}`
}
