import { Group } from './group.ts'
import { Run } from './run.ts'
import { TokenEstimates } from './token-estimates.ts'
import type { Generation, RunTools } from './types.ts'

export interface GenerationOptions extends Omit<RunTools, 'estimates' | 'random'> {
  /** False: always reserve the estimates of the specs. Default true: estimates are learned. */
  adaptiveEstimates?: boolean
  /** 0 ≤ x < 1, for the jitter of retries. Default Math.random. */
  random?: () => number
}

/** The path of every Gemini call: cache → coalesce → reserve → call → settle → check → store, or a stale copy. */
export function createGeneration({ adaptiveEstimates = true, ...options }: GenerationOptions): Generation {
  const tools: RunTools = { random: Math.random, ...options, estimates: new TokenEstimates(adaptiveEstimates) }
  return {
    run: (spec, context) => new Run(spec, context, tools).answer(),
    async runAll(specs, context) {
      const runs = specs.map((spec) => new Run(spec, context, tools))
      const group = new Group(tools, context)
      const claims = await Promise.all(runs.map((run) => run.claim(group)))
      const tokensEach = Math.max(0, ...specs.map((spec) => tools.estimates.tokens(spec)))
      group.open(claims.filter((claim) => claim.state === 'lead').length, tokensEach)
      return await Promise.allSettled(runs.map((run, index) => run.answer(claims[index])))
    },
  }
}
