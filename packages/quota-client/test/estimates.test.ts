import t from 'tap'
import { createEstimates } from '../src/index.ts'

t.test('moves from the start to the 95th percentile of what was settled', async (t) => {
  const estimates = createEstimates({ start: { 'text flash': 1500, 'image flash': 500 } })
  t.equal(estimates.tokens('text flash'), 1500)
  estimates.settled('text flash', 2000)
  const early = estimates.tokens('text flash')
  t.ok(early > 1500 && early < 1600, `one call moves it a little: ${early}`)
  for (let call = 0; call < 400; call++) estimates.settled('text flash', 1000 + (call % 100) * 10)
  t.equal(estimates.tokens('text flash'), 1940, 'the 95th of 100 evenly spread figures')
  t.equal(estimates.tokens('image flash'), 500, 'every key learns for itself')
})

t.test('follows when the calls change', async (t) => {
  const estimates = createEstimates({ start: { text: 1000 } })
  for (let call = 0; call < 300; call++) estimates.settled('text', 2500)
  t.equal(estimates.tokens('text'), 2500)
  for (let call = 0; call < 300; call++) estimates.settled('text', 600)
  t.equal(estimates.tokens('text'), 600)
})

t.test('stays within a quarter and four times the start', async (t) => {
  const estimates = createEstimates({ start: { short: 1000, long: 1000 } })
  for (let call = 0; call < 300; call++) {
    estimates.settled('short', 3)
    estimates.settled('long', 90_000)
  }
  t.equal(estimates.tokens('short'), 250)
  t.equal(estimates.tokens('long'), 4000)
})

t.test('keeps the start when it is told not to adapt', async (t) => {
  const estimates = createEstimates({ start: { text: 1500 }, adaptive: false })
  for (let call = 0; call < 300; call++) estimates.settled('text', 5000)
  t.equal(estimates.tokens('text'), 1500)
})

t.test('refuses what makes no sense', async (t) => {
  t.throws(() => createEstimates({ start: { text: 0 } }), { name: 'RangeError', message: /start.text/ })
  const estimates = createEstimates({ start: { text: 100 } })
  t.throws(() => estimates.tokens('speech'), { name: 'RangeError', message: /speech/ })
  t.throws(() => estimates.settled('text', -1), { name: 'RangeError', message: /actualTokens/ })
})
