import t from 'tap'
import { hitRateOf, kept, maxPoints, minuteBefore, pointOf, sampleOf, useOf } from '../src/ops/rates.ts'
import type { OpsState } from '../src/ops/state.ts'

const empty: OpsState = {
  atMs: 0,
  pools: [],
  instances: [],
  cache: {},
  gemini: [],
  refused: {},
  waiting: [],
  clients: [],
  needsToken: false,
  faults: [],
}
const model = { model: 'flash', calls: { success: 10 }, tokens: 100, seconds: 20, within: { 1: 5, 5: 10, '+Inf': 10 } }
const later = {
  model: 'flash',
  calls: { success: 18, timeout: 2, cancelled: 1 },
  tokens: 300,
  seconds: 30,
  within: { 1: 13, 5: 20, '+Inf': 21 },
}

t.test('the use of a model is the difference of two samples', (t) => {
  const before = sampleOf({ ...empty, gemini: [model] })
  const now = sampleOf({ ...empty, atMs: 60_000, gemini: [later] })
  t.same(useOf('flash', before, now), { calls: 11, failed: 2, tokens: 200, meanSeconds: 10 / 11, p95Seconds: Infinity })
  t.same(useOf('flash', now, now), { calls: 0, failed: 0, tokens: 0, meanSeconds: null, p95Seconds: null })
  t.match(useOf('flash', now, before), { calls: 0, tokens: 0 }, 'an instance that restarts begins again at 0')
  t.end()
})

t.test('what is compared is a minute old at most, and what is kept has a bound', (t) => {
  let samples = [sampleOf(empty)]
  for (let n = 1; n <= 2_000; n++) samples = kept(samples, sampleOf({ ...empty, atMs: n * 2_000 }))
  t.equal(samples.length, maxPoints)
  t.equal(samples.at(-1)?.atMs, 4_000_000)
  t.equal(minuteBefore(samples)?.atMs, 3_940_000)
  t.equal(minuteBefore([]), undefined)
  t.end()
})

t.test('a point has the pools together, and no hit rate without look-ups', (t) => {
  const limit = { limit: 10, held: 0, free: 6, resetsInMs: 0 }
  const line = (length: number) => ({ length, startsInMs: 0 })
  const pool = {
    name: 'one',
    limits: [{ ...limit, name: 'rpm', used: 4 } as const, { ...limit, name: 'rpd', used: 9 } as const],
    queue: { interactive: line(1), batch: line(2) },
    hold: null,
    pause: null,
    degraded: false,
    unavailable: null,
  }
  const state = { ...empty, pools: [pool, { ...pool, name: 'two' }] }
  t.match(pointOf(state, sampleOf(empty)), { used: 8, limit: 20, waiting: 6, calls: 0, hitRate: null })
  t.equal(hitRateOf({ memory: 1, redis: 1, coalesced: 1, miss: 1, fallback: 9, store: 9 }), 75)
  t.end()
})
