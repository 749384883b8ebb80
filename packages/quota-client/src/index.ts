export { createQuotaClient, systemRuntime } from './client.ts'
export type * from './types.ts'
