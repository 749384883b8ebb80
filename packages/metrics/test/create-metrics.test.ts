import t from 'tap'
import { createMetrics } from '../src/index.ts'
import { family, samples } from './build.ts'

t.test('records each event under the name and labels of the contract', async (t) => {
  const metrics = createMetrics({ models: ['gemini-3.8-flash'] })
  metrics.quotaExceeded('rpm')
  metrics.quotaWait('batch', 12_000)
  metrics.cacheOperation('create_subtopics', 'redis')
  metrics.geminiCall({
    endpoint: 'image2topic',
    model: 'gemini-3.8-flash',
    status: 'success',
    durationMs: 1500,
    totalTokens: 321,
    inputTokens: 123,
  })
  metrics.contentGenerated('subtopics', 15)
  metrics.contentGenerated('explanation', 4)
  metrics.imageGenerated('imagen')
  metrics.applicationError('generate_image', 'content_blocked')
  metrics.validationFailure('explanation', 'refusal')
  metrics.circuitBreakerState('vision', 'open')
  const values = samples(await metrics.registry.metrics())
  const expected: Record<string, number> = {
    'quota_exceeded_total{limit_type="rpm"}': 1,
    'quota_exceeded_total{limit_type="rpd"}': 0,
    'quota_exceeded_total{limit_type="tpm"}': 0,
    'quota_exceeded_total{limit_type="tpd"}': 0,
    'quota_exceeded_total{limit_type="upstream"}': 0,
    'quota_wait_seconds_sum{priority="batch"}': 12,
    'quota_wait_seconds_count{priority="interactive"}': 0,
    'cache_operations_total{operation="create_subtopics",result="redis"}': 1,
    cache_hit_rate: 100,
    'gemini_api_calls_total{endpoint="image2topic",model="gemini-3.8-flash",status="success"}': 1,
    'gemini_api_duration_seconds_sum{endpoint="image2topic",model="gemini-3.8-flash"}': 1.5,
    'gemini_api_tokens_total{endpoint="image2topic",model="gemini-3.8-flash"}': 321,
    'gemini_api_input_tokens_total{endpoint="image2topic",model="gemini-3.8-flash"}': 123,
    subtopics_generated_total: 15,
    explanations_generated_total: 4,
    'images_generated_total{source="imagen"}': 1,
    'application_errors_total{endpoint="generate_image",error_type="content_blocked"}': 1,
    'validation_failures_total{validator="explanation",issue_type="refusal"}': 1,
    'circuit_breaker_state{service="vision"}': 2,
  }
  t.match(Object.fromEntries(values), expected)
})

const histograms: { name: string; labels: string; buckets: string[] }[] = [
  {
    name: 'gemini_api_duration_seconds',
    labels: 'endpoint="create_subtopics",model="other"',
    buckets: ['0.1', '0.5', '1', '2', '5', '10', '30', '+Inf'],
  },
  {
    name: 'quota_estimate_ratio',
    labels: 'endpoint="create_subtopics"',
    buckets: ['0.1', '0.25', '0.5', '0.75', '0.9', '1', '1.1', '1.25', '1.5', '2', '4', '+Inf'],
  },
  {
    name: 'content_quality_score',
    labels: 'content_type="topic"',
    buckets: ['0', '0.1', '0.2', '0.3', '0.4', '0.5', '0.6', '0.7', '0.8', '0.9', '1', '+Inf'],
  },
]

for (const { name, labels, buckets } of histograms) {
  t.test(`${name} has exactly the contract's buckets`, async (t) => {
    const metrics = createMetrics()
    metrics.geminiCall({ endpoint: 'create_subtopics', model: 'x', status: 'timeout', durationMs: 1 })
    metrics.quotaEstimateRatio('create_subtopics', 1)
    metrics.contentQuality('topic', 0.95)
    t.same(family(await metrics.registry.metrics(), name), [
      ...buckets.map((le) => `${name}_bucket{le="${le}",${labels}}`),
      `${name}_sum{${labels}}`,
      `${name}_count{${labels}}`,
    ])
  })
}

t.test('the hit rate is per cent of lookups, and absent before the first', async (t) => {
  const metrics = createMetrics()
  const hitRate = async () => samples(await metrics.registry.metrics()).get('cache_hit_rate')
  t.equal(await hitRate(), undefined)
  metrics.cacheOperation('create_subtopics', 'miss')
  metrics.cacheOperation('create_subtopics', 'store')
  t.equal(await hitRate(), 0)
  metrics.cacheOperation('create_subtopics', 'memory')
  metrics.cacheOperation('image2topic', 'redis')
  metrics.cacheOperation('image2topic', 'coalesced')
  t.equal(await hitRate(), 75)
  metrics.cacheOperation('image2topic', 'fallback')
  t.equal(await hitRate(), 75, 'a stale answer was already counted as a miss')
})

t.test('values from outside never make new series', async (t) => {
  const metrics = createMetrics({
    models: ['known'],
    errorTypes: ['quota_exceeded'],
    issueTypes: ['too_short'],
    services: ['vision'],
  })
  for (let i = 0; i < 300; i += 1) {
    metrics.geminiCall({ endpoint: 'create_subtopics', model: `m${i}`, status: 'success', durationMs: i })
    metrics.applicationError('create_subtopics', `e${i}`)
    metrics.validationFailure('request', `v${i}`)
    metrics.circuitBreakerState(`s${i}`, 'closed')
    metrics.cacheOperation(`/api/${i}` as 'unknown', 'miss')
  }
  const text = await metrics.registry.metrics()
  t.same(family(text, 'gemini_api_calls_total'), [
    'gemini_api_calls_total{endpoint="create_subtopics",model="other",status="success"}',
  ])
  t.same(family(text, 'application_errors_total'), [
    'application_errors_total{endpoint="create_subtopics",error_type="other"}',
  ])
  t.same(family(text, 'validation_failures_total'), [
    'validation_failures_total{validator="request",issue_type="other"}',
  ])
  t.same(family(text, 'circuit_breaker_state'), ['circuit_breaker_state{service="other"}'])
  t.same(family(text, 'cache_operations_total'), ['cache_operations_total{operation="unknown",result="miss"}'])
})

t.test('without given sets, codes are learned but stay bounded and well-formed', async (t) => {
  const metrics = createMetrics()
  for (let i = 0; i < 300; i += 1) metrics.applicationError('create_subtopics', `code_${i}`)
  metrics.validationFailure('request', 'drop table "x"')
  const text = await metrics.registry.metrics()
  t.equal(family(text, 'application_errors_total').length, 51, 'fifty codes and other')
  t.same(family(text, 'validation_failures_total'), [
    'validation_failures_total{validator="request",issue_type="other"}',
  ])
})

t.test('amounts that are no amounts are not recorded and never throw', async (t) => {
  const metrics = createMetrics({ models: ['m'] })
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, -1]) {
    metrics.quotaEstimateRatio('create_subtopics', bad)
    metrics.contentQuality('topic', bad)
    metrics.contentGenerated('subtopics', bad)
    metrics.contentGenerated('explanation', bad)
    metrics.geminiCall({ endpoint: 'docs', model: 'm', status: 'timeout', durationMs: bad, totalTokens: bad })
  }
  const text = await metrics.registry.metrics()
  t.same(family(text, 'quota_estimate_ratio'), [])
  t.same(family(text, 'content_quality_score'), [])
  t.same(family(text, 'gemini_api_duration_seconds'), [])
  t.same(family(text, 'gemini_api_tokens_total'), [])
  const values = samples(text)
  t.equal(values.get('subtopics_generated_total'), 0)
  t.equal(values.get('explanations_generated_total'), 0)
  t.equal(values.get('gemini_api_calls_total{endpoint="docs",model="m",status="timeout"}'), 3, 'the call still counts')
})

t.test('shows the three states of a breaker as 0, 1 and 2', async (t) => {
  const metrics = createMetrics({ services: ['vision'] })
  for (const [value, state] of (['closed', 'half_open', 'open'] as const).entries()) {
    metrics.circuitBreakerState('vision', state)
    t.equal(samples(await metrics.registry.metrics()).get('circuit_breaker_state{service="vision"}'), value)
  }
})

t.test('two apps in one process do not mix', async (t) => {
  const one = createMetrics()
  const other = createMetrics()
  one.contentGenerated('subtopics', 15)
  t.equal(samples(await one.registry.metrics()).get('subtopics_generated_total'), 15)
  t.equal(samples(await other.registry.metrics()).get('subtopics_generated_total'), 0)
})

t.test('the counters of a known operation start at 0, so that the first event is an increase', async (t) => {
  const metrics = createMetrics({ models: ['m'], operations: ['image2topic'] })
  const values = samples(await metrics.registry.metrics())
  t.equal(values.get('gemini_api_calls_total{endpoint="image2topic",model="m",status="rate_limited"}'), 0)
  t.equal(values.get('gemini_api_tokens_total{endpoint="image2topic",model="m"}'), 0)
  t.equal(values.get('cache_operations_total{operation="image2topic",result="coalesced"}'), 0)
  t.equal(values.get('cache_hit_rate'), undefined, 'a rate of nothing is no figure')
})
