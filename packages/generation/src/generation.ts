import { type ChainClaim, ChainRun, toHttpError } from './chain-run.ts'
import { Group } from './group.ts'
import { mostPlaces } from './places-in-line.ts'
import { Semaphore } from './semaphore.ts'
import { TokenEstimates } from './token-estimates.ts'
import type { Generation, GenerationAnswer, GenerationSpec, OnSettled, RunContext, RunTools, RunWait } from './types.ts'

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
      const { wait } = context
      const answers = wait
        ? inTurn(specs, { ...context, wait }, tools)
        : claims.map(({ run, claim }) => run.answer(claim))
      return await Promise.all(answers.map((answer, index) => settled(answer, index, onSettled)))
    },
  }
}

/** Begins with the next one when one of the others has started, so that those for which there is no place in line cost nothing. */
function inTurn<T>(
  specs: GenerationSpec<T>[],
  context: RunContext & { wait: RunWait },
  tools: RunTools,
): Promise<GenerationAnswer<T>>[] {
  const places = new Semaphore(mostPlaces.request)
  const leaving = AbortSignal.any([context.signal, context.wait.closing])
  return specs.map(async (spec) => {
    await places.acquire(1, leaving).catch((thrown) => {
      throw toHttpError(thrown)
    })
    let hasPlace = true
    const onStart = () => {
      if (hasPlace) places.release(1)
      hasPlace = false
    }
    return await new ChainRun(spec, { ...context, onStart }, tools).answer().finally(onStart)
  })
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
