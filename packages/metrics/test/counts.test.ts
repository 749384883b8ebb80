import t from 'tap'
import { countsOf, createMetrics } from '../src/index.ts'

t.test('what was recorded, by layer, model and limit', async (t) => {
  const metrics = createMetrics({ models: ['flash', 'image'], operations: ['create_subtopics', 'image2topic'] })
  for (const result of ['memory', 'memory', 'miss', 'store'] as const)
    metrics.cacheOperation('create_subtopics', result)
  metrics.cacheOperation('image2topic', 'miss')
  metrics.quotaExceeded('rpm')
  const call = { endpoint: 'create_subtopics', model: 'flash', status: 'success', durationMs: 700 } as const
  metrics.geminiCall({ ...call, totalTokens: 100 })
  metrics.geminiCall({ ...call, endpoint: 'image2topic', durationMs: 3_000, status: 'timeout' })
  const { cache, gemini, refused } = await countsOf(metrics.registry)
  t.same(cache, { memory: 2, miss: 2, store: 1 })
  t.same(refused, { rpm: 1 })
  t.match(gemini, [
    { model: 'flash', calls: { success: 1, timeout: 1 }, tokens: 100, within: { 1: 1, 2: 1, 5: 2, '+Inf': 2 } },
    { model: 'image', calls: {}, tokens: 0 },
  ])
  t.ok(Math.abs((gemini[0]?.seconds ?? 0) - 3.7) < 1e-9)
})
