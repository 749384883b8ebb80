import t from 'tap'
import { TokenEstimates } from '../src/token-estimates.ts'

const text = { operation: 'create_subtopics', estimatedTokens: 1500 } as const
const image = { operation: 'generate_image', estimatedTokens: 500 } as const

function settle(estimates: TokenEstimates, spec: typeof text | typeof image, tokens: (call: number) => number): void {
  for (let call = 0; call < 400; call++) estimates.settled(spec, 'flash', tokens(call))
}

t.test('moves from the start to the 95th percentile of what was settled', async (t) => {
  const estimates = new TokenEstimates(true)
  t.equal(estimates.tokens(text, 'flash'), 1500)
  estimates.settled(text, 'flash', 2000)
  const early = estimates.tokens(text, 'flash')
  t.ok(early > 1500 && early < 1600, `one call moves it a little: ${early}`)
  settle(estimates, text, (call) => 1000 + (call % 100) * 10)
  t.equal(estimates.tokens(text, 'flash'), 1940, 'the 95th of 100 evenly spread figures')
  t.equal(estimates.tokens(image, 'flash'), 500, 'each operation learns for itself')
  t.equal(estimates.tokens(text, 'lite'), 1500, 'and each model')
})

t.test('follows when the calls change, within a quarter and four times the start', async (t) => {
  const estimates = new TokenEstimates(true)
  for (const [used, estimate] of [
    [2500, 2500],
    [600, 600],
    [3, 375],
    [90_000, 6000],
  ] as const) {
    settle(estimates, text, () => used)
    t.equal(estimates.tokens(text, 'flash'), estimate)
  }
})

t.test('keeps the start when it is told not to adapt', async (t) => {
  const estimates = new TokenEstimates(false)
  settle(estimates, text, () => 5000)
  t.equal(estimates.tokens(text, 'flash'), 1500)
})
