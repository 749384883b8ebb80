export { createQuotaClient, systemRuntime } from './client.ts'
export { CalendarDay } from './core/calendar-day.ts'
export type * from './types.ts'
