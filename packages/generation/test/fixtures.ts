import type { GeminiAnswer } from '@knowalledge/gemini'
import { createMetrics } from '@knowalledge/metrics'
import { createQuotaClient, type QuotaClientOptions, type Runtime, systemRuntime } from '@knowalledge/quota-client'
import { createResponseCache, type ResponseCacheOptions } from '@knowalledge/response-cache'
import type { Test } from 'tap'
import type { ClientBudget } from '../src/client-budget.ts'
import { createGeneration, type GenerationSpec, type RunContext } from '../src/index.ts'
import type { CallOptions } from '../src/types.ts'

export const limits = { rpm: 15, rpd: 1_500, tpm: 1_000_000, tpd: 50_000_000 }

interface Options {
  quota?: Partial<QuotaClientOptions>
  /** Replaces parts of the quota's clocks. */
  runtime?: Partial<Runtime>
  cache?: Partial<ResponseCacheOptions>
  timeoutMs?: number
  budget?: ClientBudget
}

/** The real path over the in-memory twins; only the call to Gemini is the test's own. */
export function generationForTest(t: Test, options: Options = {}) {
  const quota = createQuotaClient({ pool: 'test', limits, ...options.quota }, { ...systemRuntime, ...options.runtime })
  const cache = createResponseCache(options.cache ?? {})
  const metrics = createMetrics({ models: ['model'] })
  t.teardown(() => Promise.all([quota.close(), cache.close()]))
  const pool = { quota, budget: options.budget }
  const generation = createGeneration({
    poolOf: () => pool,
    cache,
    metrics,
    timeoutMs: options.timeoutMs ?? 5_000,
    random: () => 0,
  })
  return { quota, cache, metrics, generation }
}

export function answerOf(value: unknown, totalTokens = 100): GeminiAnswer<unknown> {
  return { value, usage: { promptTokens: 10, outputTokens: totalTokens - 10, totalTokens }, modelVersion: 'model-001' }
}

/** A question about `topic`, answered by `call`; the tests count its calls. */
export function specOf(
  topic: string,
  call: (ask: CallOptions) => Promise<GeminiAnswer<unknown>>,
  changes: Partial<GenerationSpec<string>> = {},
): GenerationSpec<string> {
  return {
    operation: 'create_subtopics',
    promptVersion: '1',
    models: ['model'],
    language: 'en',
    input: { topic },
    topic,
    priority: 'interactive',
    estimatedTokens: 1_500,
    call,
    accept: (raw) => ({ value: raw as string, passed: true }),
    ...changes,
  }
}

export function contextOf(signal: AbortSignal = new AbortController().signal): RunContext {
  return { signal, log: { info() {}, warn() {}, error() {} }, outcome: {} }
}
