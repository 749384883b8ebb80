import type { Registry } from '@prometheus-io/client'
import type { CacheResult, GeminiCallStatus, QuotaLimitType } from './types.ts'

/** What a process has counted since its start: part of its snapshot. */
export interface Counts {
  cache: Partial<Record<CacheResult, number>>
  gemini: GeminiCounts[]
  /** Calls refused by a limit. */
  refused: Partial<Record<QuotaLimitType, number>>
}

export interface GeminiCounts {
  model: string
  calls: Partial<Record<GeminiCallStatus, number>>
  tokens: number
  seconds: number
  /** Calls that took at most so many seconds, by that bound; `+Inf` is all of them. */
  within: Partial<Record<string, number>>
}

/** Reads single metrics: collecting all of them would reset the event loop's for Prometheus. */
export async function countsOf(registry: Registry): Promise<Counts> {
  const values = async (name: string) => (await registry.getSingleMetric(name)?.get())?.values ?? []
  const models = new Map<string, GeminiCounts>()
  const modelOf = ({ model }: Labels) => {
    const name = String(model)
    const counts = models.get(name) ?? { model: name, calls: {}, tokens: 0, seconds: 0, within: {} }
    models.set(name, counts)
    return counts
  }
  for (const { labels, value } of await values('gemini_api_calls_total')) {
    const { calls } = modelOf(labels)
    add(calls, labels.status, value)
  }
  for (const { labels, value } of await values('gemini_api_tokens_total')) modelOf(labels).tokens += value
  for (const { labels, value, ...sample } of await values('gemini_api_duration_seconds')) {
    const metricName = 'metricName' in sample ? String(sample.metricName) : ''
    if (metricName.endsWith('_sum')) modelOf(labels).seconds += value
    if (metricName.endsWith('_bucket')) add(modelOf(labels).within, labels.le, value)
  }
  const counts: Counts = { cache: {}, gemini: [...models.values()], refused: {} }
  for (const { labels, value } of await values('cache_operations_total')) add(counts.cache, labels.result, value)
  for (const { labels, value } of await values('quota_exceeded_total')) add(counts.refused, labels.limit_type, value)
  return counts
}

type Labels = Record<string, string | number | undefined>

function add(totals: Partial<Record<string, number>>, name: string | number | undefined, value: number): void {
  if (value !== 0) totals[String(name)] = (totals[String(name)] ?? 0) + value
}
