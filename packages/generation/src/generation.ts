import { type ChainClaim, ChainRun } from './chain-run.ts'
import { Group } from './group.ts'
import { TokenEstimates } from './token-estimates.ts'
import type { Generation, GenerationAnswer, GenerationSpec, OnSettled, RunContext, RunTools } from './types.ts'

export interface GenerationOptions extends Omit<RunTools, 'estimates' | 'random' | 'countedTokens'> {
  /** False: always reserve the estimates of the specs. Default true: estimates are learned. */
  adaptiveEstimates?: boolean
  /** Default total. */
  countedTokens?: RunTools['countedTokens']
  /** 0 ≤ x < 1, for the jitter of retries. Default Math.random. */
  random?: () => number
}

/** The path of every Gemini call: cache → coalesce → reserve → call → settle → check → store, or a stale copy. */
export function createGeneration({ adaptiveEstimates = true, ...options }: GenerationOptions): Generation {
  const estimates = new TokenEstimates(adaptiveEstimates)
  const tools: RunTools = { random: Math.random, countedTokens: 'total', ...options, estimates }
  return {
    run: (spec, context) => new ChainRun(spec, context, tools).answer(),
    async runAll(specs, context, onSettled) {
      const claims = context.wait ? [] : await claimTogether(specs, context, tools)
      const answers = context.wait
        ? specs.map((spec) => new ChainRun(spec, context, tools).answer())
        : claims.map(({ run, claim }) => run.answer(claim))
      return await Promise.all(answers.map((answer, index) => settled(answer, index, onSettled)))
    },
  }
}

async function settled<T>(answer: Promise<GenerationAnswer<T>>, index: number, onSettled?: OnSettled<T>) {
  const [result] = await Promise.allSettled([answer])
  onSettled?.(result, index)
  return result
}

/**
 * Claims several answers. What needs a call is reserved together, all or nothing; when its pool refuses, all of it goes on to
 * the next model.
 */
async function claimTogether<T>(
  specs: GenerationSpec<T>[],
  context: RunContext,
  tools: RunTools,
): Promise<{ run: ChainRun<T>; claim: ChainClaim<T> }[]> {
  const modelAt = (index: number) => specs[0]?.models[index] as string // all have the same chain
  let at = 0
  let group = new Group(modelAt(at), tools, context)
  const claimed = await Promise.all(
    specs.map(async (spec) => {
      const run = new ChainRun(spec, context, tools)
      return { run, claim: await run.claim(group) }
    }),
  )
  for (;;) {
    const leads = claimed.filter(({ claim }) => claim.state === 'lead' && claim.at === at)
    const tokensEach = Math.max(0, ...specs.map((spec) => tools.estimates.tokens(spec, modelAt(at))))
    const refusal = await group.open(leads.length, tokensEach)
    const next = leads[0]?.run.nextAfter(at, refusal)
    if (next === undefined) return claimed
    at = next
    group = new Group(modelAt(at), tools, context)
    await Promise.all(
      leads.map(async (lead) => {
        lead.claim = (await lead.run.claimNext(lead.claim.at, refusal, group)) ?? lead.claim
      }),
    )
  }
}
