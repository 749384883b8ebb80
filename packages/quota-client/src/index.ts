export { createQuotaClient, systemRuntime } from './client.ts'
export { quotaClusterOptions, quotaRedisOptions } from './redis/script.ts'
export type * from './types.ts'
