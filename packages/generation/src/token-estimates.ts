/** The part of a GenerationSpec that is used here. */
interface Estimated {
  operation: string
  estimatedTokens: number
}

/** The last calls that count, and how many of them weigh as much as the configured start does. */
const remembered = 200
const startWeighs = 10
const quantile = 0.95
const bounds = { least: 1 / 4, most: 4 }

/**
 * Tokens to reserve for a call, learned per operation and model: from the spec's figure towards the 95th percentile of what was
 * settled, so that 19 of 20 calls stay within theirs; never below a quarter nor above four times the start.
 */
export class TokenEstimates {
  readonly #isAdaptive: boolean
  readonly #byKey = new Map<string, LearnedEstimate>()

  constructor(isAdaptive: boolean) {
    this.#isAdaptive = isAdaptive
  }

  tokens(spec: Estimated, model: string): number {
    return this.#of(spec, model).tokens
  }

  /** What a call really used, whole number ≥ 0. */
  settled(spec: Estimated, model: string, actualTokens: number): void {
    if (this.#isAdaptive) this.#of(spec, model).learn(actualTokens)
  }

  #of(spec: Estimated, model: string): LearnedEstimate {
    const key = `${spec.operation} ${model}`
    let estimate = this.#byKey.get(key)
    if (!estimate) {
      estimate = new LearnedEstimate(spec.estimatedTokens)
      this.#byKey.set(key, estimate)
    }
    return estimate
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
