export { type Counts, countsOf, type GeminiCounts } from './counts.ts'
export { createMetrics } from './create-metrics.ts'
export { metricsPlugin } from './plugin.ts'
export type {
  AppMetrics,
  CacheResult,
  CircuitState,
  ContentType,
  Endpoint,
  GeminiCall,
  GeminiCallStatus,
  ImageSource,
  Metrics,
  MetricsOptions,
  MetricsPluginOptions,
  QuotaGauges,
  QuotaLimitType,
  QuotaPoolReader,
  QuotaPriority,
  QuotaWindow,
  Validator,
} from './types.ts'
