import { createEstimates, type Estimates } from '@knowalledge/quota-client'
import type { GenerationSpec } from './types.ts'

type Estimated = Pick<GenerationSpec<unknown>, 'operation' | 'model' | 'estimatedTokens'>

/** What to reserve for a call: learned per operation and model, from the spec's figure on. */
export class TokenEstimates {
  readonly #adaptive: boolean
  readonly #byKey = new Map<string, Estimates>()

  constructor(adaptive: boolean) {
    this.#adaptive = adaptive
  }

  tokens(spec: Estimated): number {
    return this.#of(spec).tokens(keyOf(spec))
  }

  settled(spec: Estimated, actualTokens: number): void {
    this.#of(spec).settled(keyOf(spec), actualTokens)
  }

  #of(spec: Estimated): Estimates {
    const key = keyOf(spec)
    let estimates = this.#byKey.get(key)
    if (!estimates) {
      estimates = createEstimates({ start: { [key]: spec.estimatedTokens }, adaptive: this.#adaptive })
      this.#byKey.set(key, estimates)
    }
    return estimates
  }
}

function keyOf({ operation, model }: Estimated): string {
  return `${operation} ${model}`
}
