import { Registry } from '@prometheus-io/client'
import {
  businessInstruments,
  cacheInstruments,
  errorInstruments,
  geminiInstruments,
  quotaEventInstruments,
} from './instruments.ts'
import { closedSet, endpointLabel } from './labels.ts'
import {
  type AppMetrics,
  type CircuitState,
  cacheResults,
  geminiCallStatuses,
  type Metrics,
  type MetricsOptions,
} from './types.ts'

const circuitStateValues: Record<CircuitState, number> = { closed: 0, half_open: 1, open: 2 }

/** Makes one app's metrics in a registry of its own; `metricsPlugin` serves it. */
export function createMetrics(options: MetricsOptions = {}): AppMetrics {
  const registry = new Registry()
  return {
    registry,
    ...quotaRecorders(registry),
    ...cacheRecorders(registry, options),
    ...geminiRecorders(registry, options),
    ...businessRecorders(registry),
    ...errorRecorders(registry, options),
  }
}

function quotaRecorders(registry: Registry): Pick<Metrics, 'quotaExceeded' | 'quotaEstimateRatio' | 'quotaWait'> {
  const { exceeded, estimateRatio, wait } = quotaEventInstruments(registry)
  return {
    quotaExceeded: (limitType) => exceeded.inc({ limit_type: limitType }),
    quotaWait(priority, waitMs) {
      if (isAmount(waitMs)) wait.observe({ priority }, waitMs / 1000)
    },
    quotaEstimateRatio(endpoint, ratio) {
      if (isAmount(ratio)) estimateRatio.observe({ endpoint: endpointLabel(endpoint) }, ratio)
    },
  }
}

function cacheRecorders(registry: Registry, options: MetricsOptions): Pick<Metrics, 'cacheOperation'> {
  const { operations, hitRate } = cacheInstruments(registry)
  for (const operation of options.operations ?? []) {
    for (const result of cacheResults) operations.inc({ operation, result }, 0)
  }
  let lookups = 0
  let hits = 0
  return {
    cacheOperation(operation, result) {
      operations.inc({ operation: endpointLabel(operation), result })
      if (result === 'store' || result === 'fallback') return
      lookups += 1
      if (result !== 'miss') hits += 1
      hitRate.set((100 * hits) / lookups)
    },
  }
}

function geminiRecorders(registry: Registry, options: MetricsOptions): Pick<Metrics, 'geminiCall'> {
  const { calls, duration, tokens, inputTokens } = geminiInstruments(registry)
  const modelLabel = closedSet(options.models ?? [])
  for (const endpoint of options.operations ?? []) {
    for (const model of options.models ?? []) {
      for (const status of geminiCallStatuses) calls.inc({ endpoint, model, status }, 0)
      tokens.inc({ endpoint, model }, 0)
      inputTokens.inc({ endpoint, model }, 0)
    }
  }
  return {
    geminiCall(call) {
      const labels = { endpoint: endpointLabel(call.endpoint), model: modelLabel(call.model) }
      calls.inc({ ...labels, status: call.status })
      if (isAmount(call.durationMs)) duration.observe(labels, call.durationMs / 1000)
      if (isAmount(call.totalTokens)) tokens.inc(labels, call.totalTokens)
      if (isAmount(call.inputTokens)) inputTokens.inc(labels, call.inputTokens)
    },
  }
}

function businessRecorders(
  registry: Registry,
): Pick<Metrics, 'contentGenerated' | 'imageGenerated' | 'contentQuality'> {
  const { subtopics, explanations, images, quality } = businessInstruments(registry)
  return {
    contentGenerated(contentType, count) {
      if (!isAmount(count)) return
      if (contentType === 'subtopics') subtopics.inc(count)
      if (contentType === 'explanation') explanations.inc(count)
    },
    imageGenerated: (source) => images.inc({ source }),
    contentQuality(contentType, score) {
      if (isAmount(score)) quality.observe({ content_type: contentType }, score)
    },
  }
}

function errorRecorders(
  registry: Registry,
  options: MetricsOptions,
): Pick<Metrics, 'applicationError' | 'validationFailure' | 'circuitBreakerState'> {
  const { application, validation, circuit } = errorInstruments(registry)
  const errorTypeLabel = closedSet(options.errorTypes)
  const issueTypeLabel = closedSet(options.issueTypes)
  const serviceLabel = closedSet(options.services)
  return {
    applicationError: (endpoint, errorType) =>
      application.inc({ endpoint: endpointLabel(endpoint), error_type: errorTypeLabel(errorType) }),
    validationFailure: (validator, issueType) => validation.inc({ validator, issue_type: issueTypeLabel(issueType) }),
    circuitBreakerState: (service, state) => circuit.set({ service: serviceLabel(service) }, circuitStateValues[state]),
  }
}

function isAmount(value: number | undefined): value is number {
  return value !== undefined && Number.isFinite(value) && value >= 0
}
