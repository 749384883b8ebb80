export { createQuotaClient } from './client.ts'
export { createEstimates, type Estimates, type EstimatesOptions } from './estimates.ts'
export { quotaClusterOptions, quotaRedisOptions } from './redis-options.ts'
export type * from './types.ts'
