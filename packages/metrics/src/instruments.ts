import { Counter, Gauge, Histogram, type Registry } from '@prometheus-io/client'
import { imageSources, quotaLimitTypes, quotaPriorities } from './types.ts'

// Every metric of ours is named here and nowhere else: DESIGN.md §6.

export function httpInstruments(registry: Registry) {
  const registers = [registry]
  return {
    requests: new Counter({
      name: 'http_requests_total',
      help: 'Answered HTTP requests; 499 is a client that left early.',
      labelNames: ['method', 'endpoint', 'status'],
      registers,
    }),
    duration: new Histogram({
      name: 'http_request_duration_seconds',
      help: 'Seconds from the first byte of a request to the last of its answer.',
      labelNames: ['method', 'endpoint'],
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10],
      registers,
    }),
    inProgress: new Gauge({
      name: 'http_requests_in_progress',
      help: 'HTTP requests being answered now.',
      labelNames: ['method', 'endpoint'],
      registers,
    }),
  }
}

/** What each pool's gauges are named after `quota_` and `quota_pool_`. */
const poolFigures = {
  requests_current_minute: 'Fleet-wide requests in the sliding minute.',
  requests_today: 'Fleet-wide requests of the quota day.',
  tokens_current_minute: 'Fleet-wide tokens in the sliding minute.',
  tokens_today: 'Fleet-wide tokens of the quota day.',
  rpm_remaining: 'Requests left in the sliding minute.',
  rpd_remaining: 'Requests left in the quota day.',
  tpm_remaining: 'Tokens left in the sliding minute.',
  tpd_remaining: 'Tokens left in the quota day.',
  rpm_limit: 'Requests allowed in any minute.',
  rpd_limit: 'Requests allowed in a quota day.',
  tpm_limit: 'Tokens allowed in any minute.',
  tpd_limit: 'Tokens allowed in a quota day.',
  hold_seconds: 'Seconds until a hold of the shared quota ends; 0 without one.',
}
export type PoolFigure = keyof typeof poolFigures

/** Gauges of the fleet-wide quota: the same figure on every instance, so dashboards take max, never sum. */
export function quotaInstruments(registry: Registry) {
  const registers = [registry]
  const figures = Object.entries(poolFigures) as [PoolFigure, string][]
  const ofPools = figures.map(([name, help]) => {
    return [
      name,
      new Gauge({ name: `quota_pool_${name}`, help: `By pool: ${help}`, labelNames: ['pool'], registers }),
    ] as const
  })
  return {
    ofFirst: figures.map(([name, help]) => [name, absentGauge(registry, `quota_${name}`, help)] as const),
    ofPools,
    poolPause: new Gauge({
      name: 'quota_pool_pause_seconds',
      help: 'By pool: seconds until a pause that Gemini asked for ends; 0 without one.',
      labelNames: ['pool'],
      registers,
    }),
    poolQueueLength: new Gauge({
      name: 'quota_pool_queue_length',
      help: 'By pool: calls of the whole fleet that wait in line for their start.',
      labelNames: ['pool', 'priority'],
      registers,
    }),
    degraded: absentGauge(registry, 'quota_degraded', '1 when the shared quota cannot be used, else 0.'),
    queueLength: new Gauge({
      name: 'quota_queue_length',
      help: 'Calls of the whole fleet that wait in line for their start.',
      labelNames: ['priority'],
      registers,
    }),
    holds: new Counter({
      name: 'quota_hold_seconds_total',
      help: 'Seconds for which the shared quota was put on hold, by cause, as this instance saw it.',
      labelNames: ['cause'],
      registers,
    }),
  }
}

export function redisWritableGauge(registry: Registry) {
  const help = '1 when Redis takes writes, else 0.'
  return new Gauge({ name: 'redis_writable', help, labelNames: ['store'], registers: [registry] })
}

export function waitingClientsGauge(registry: Registry) {
  const help = 'Clients of this instance that wait in line for a start.'
  return new Gauge({ name: 'quota_waiting_clients', help, registers: [registry] })
}

export function cacheItemsGauge(registry: Registry) {
  const help = 'Entries held by a cache layer of this instance.'
  return new Gauge({ name: 'cache_items_count', help, labelNames: ['layer'], registers: [registry] })
}

export function cacheInstruments(registry: Registry) {
  const registers = [registry]
  return {
    operations: new Counter({
      name: 'cache_operations_total',
      help: 'Cache lookups and writes by result.',
      labelNames: ['operation', 'result'],
      registers,
    }),
    hitRate: absentGauge(registry, 'cache_hit_rate', 'Per cent of lookups answered without a call, since the start.'),
  }
}

export function quotaEventInstruments(registry: Registry) {
  const registers = [registry]
  const exceeded = new Counter({
    name: 'quota_exceeded_total',
    help: 'Calls refused by a quota limit.',
    labelNames: ['limit_type'],
    registers,
  })
  for (const limit_type of quotaLimitTypes) exceeded.inc({ limit_type }, 0)
  const estimateRatio = new Histogram({
    name: 'quota_estimate_ratio',
    help: 'Tokens really used divided by tokens reserved.',
    labelNames: ['endpoint'],
    buckets: [0.1, 0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 4],
    registers,
  })
  const wait = new Histogram({
    name: 'quota_wait_seconds',
    help: 'Seconds in line of calls that waited, until they were granted or refused.',
    labelNames: ['priority'],
    buckets: [0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300],
    registers,
  })
  for (const priority of quotaPriorities) wait.zero({ priority })
  return { exceeded, estimateRatio, wait }
}

export function geminiInstruments(registry: Registry) {
  const registers = [registry]
  return {
    calls: new Counter({
      name: 'gemini_api_calls_total',
      help: 'Calls to Gemini by outcome.',
      labelNames: ['endpoint', 'model', 'status'],
      registers,
    }),
    duration: new Histogram({
      name: 'gemini_api_duration_seconds',
      help: 'Seconds a call to Gemini took.',
      labelNames: ['endpoint', 'model'],
      buckets: [0.1, 0.5, 1, 2, 5, 10, 30],
      registers,
    }),
    tokens: new Counter({
      name: 'gemini_api_tokens_total',
      help: 'Tokens billed by Gemini: prompt, candidates and thoughts.',
      labelNames: ['endpoint', 'model'],
      registers,
    }),
    inputTokens: new Counter({
      name: 'gemini_api_input_tokens_total',
      help: 'Of these, the tokens of the prompt, which Gemini counts against its tokens a minute.',
      labelNames: ['endpoint', 'model'],
      registers,
    }),
  }
}

export function businessInstruments(registry: Registry) {
  const registers = [registry]
  const images = new Counter({
    name: 'images_generated_total',
    help: 'Pictures handed out by where they came from.',
    labelNames: ['source'],
    registers,
  })
  for (const source of imageSources) images.inc({ source }, 0)
  return {
    subtopics: new Counter({ name: 'subtopics_generated_total', help: 'Subtopics generated.', registers }),
    explanations: new Counter({ name: 'explanations_generated_total', help: 'Explanations generated.', registers }),
    images,
    quality: new Histogram({
      name: 'content_quality_score',
      help: 'Quality score of generated content, 0 to 1.',
      labelNames: ['content_type'],
      buckets: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1],
      registers,
    }),
  }
}

export function errorInstruments(registry: Registry) {
  const registers = [registry]
  return {
    application: new Counter({
      name: 'application_errors_total',
      help: 'Errors answered to clients by catalogue code.',
      labelNames: ['endpoint', 'error_type'],
      registers,
    }),
    validation: new Counter({
      name: 'validation_failures_total',
      help: 'Issues found in requests and in generated content.',
      labelNames: ['validator', 'issue_type'],
      registers,
    }),
    circuit: new Gauge({
      name: 'circuit_breaker_state',
      help: '0 closed, 1 half open, 2 open.',
      labelNames: ['service'],
      registers,
    }),
  }
}

// A new gauge shows 0, which would read as "nothing left"; this one has no sample until it is set.
function absentGauge(registry: Registry, name: string, help: string): Gauge {
  const gauge = new Gauge({ name, help, registers: [registry] })
  gauge.remove()
  return gauge
}
