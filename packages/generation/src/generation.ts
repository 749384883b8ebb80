import { Group } from './group.ts'
import { Run } from './run.ts'
import { TokenEstimates } from './token-estimates.ts'
import type { Generation, GenerationAnswer, RunTools, Settled } from './types.ts'

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
    async runAll(specs, context, onSettled) {
      const runs = specs.map((spec) => new Run(spec, context, tools))
      const settle = async (answers: Promise<GenerationAnswer<unknown>>[]) =>
        await Promise.all(
          answers.map(async (answer, index) => {
            const [result] = await Promise.allSettled([answer])
            onSettled?.(result as Settled<never>, index)
            return result as Settled<never>
          }),
        )
      if (context.wait) return await settle(runs.map((run) => run.answer()))
      const group = new Group(tools, context)
      const claims = await Promise.all(runs.map((run) => run.claim(group)))
      const tokensEach = Math.max(0, ...specs.map((spec) => tools.estimates.tokens(spec)))
      group.open(claims.filter((claim) => claim.state === 'lead').length, tokensEach)
      return await settle(runs.map((run, index) => run.answer(claims[index])))
    },
  }
}
