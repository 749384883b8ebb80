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
  QuotaWindow,
  Validator,
} from './types.ts'
