import { requireWhole } from './bounds.ts'

export interface EstimatesOptions {
  /** Tokens to start from, for each key: an operation and its model, for example. Whole numbers ≥ 1. */
  start: Readonly<Record<string, number>>
  /** False keeps the start for good (QUOTA_ADAPTIVE_ESTIMATES=false). Default true. */
  adaptive?: boolean
}

export interface Estimates {
  /** Tokens to reserve for a call of this key. Throws a RangeError for a key without a start. */
  tokens(key: string): number
  /** What a call of this key really used, whole number ≥ 0. */
  settled(key: string, actualTokens: number): void
}

/** The last calls of a key that count, and how many of them weigh as much as the configured start does. */
const remembered = 200
const startWeighs = 10
const quantile = 0.95
const bounds = { least: 1 / 4, most: 4 }

/**
 * Estimates that learn: from the start towards the 95th percentile of what was settled, so that 19 of 20 calls stay
 * within theirs and little is held back for nothing; never below a quarter nor above four times the start.
 */
export function createEstimates({ start, adaptive = true }: EstimatesOptions): Estimates {
  const learned = new Map<string, LearnedEstimate>()
  for (const [key, tokens] of Object.entries(start)) {
    requireWhole(`start.${key}`, tokens, 1)
    learned.set(key, new LearnedEstimate(tokens))
  }
  const estimateOf = (key: string) => {
    const estimate = learned.get(key)
    if (estimate === undefined) throw new RangeError(`there is no start for estimates of ${key}`)
    return estimate
  }
  return {
    tokens: (key) => estimateOf(key).tokens,
    settled(key, actualTokens) {
      requireWhole('actualTokens', actualTokens, 0)
      if (adaptive) estimateOf(key).learn(actualTokens)
    },
  }
}

class LearnedEstimate {
  readonly #start: number
  readonly #samples: number[] = []
  #next = 0
  tokens: number

  constructor(start: number) {
    this.#start = start
    this.tokens = start
  }

  learn(actualTokens: number): void {
    this.#samples[this.#next] = actualTokens
    this.#next = (this.#next + 1) % remembered
    const sorted = this.#samples.toSorted((one, other) => one - other)
    const high = sorted[Math.ceil(quantile * sorted.length) - 1] ?? this.#start
    const weight = sorted.length / (sorted.length + startWeighs * (1 - sorted.length / remembered))
    const blended = Math.ceil(this.#start + (high - this.#start) * weight)
    const [least, most] = [Math.max(1, Math.floor(this.#start * bounds.least)), Math.ceil(this.#start * bounds.most)]
    this.tokens = Math.min(most, Math.max(least, blended))
  }
}
