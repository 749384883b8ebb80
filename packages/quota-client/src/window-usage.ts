import type { WindowUsage } from './types.ts'

/** One window as shown to people: what is left and, in per cent with one decimal, what is used. */
export function windowUsage(current: number, limit: number, resetsInMs: number): WindowUsage {
  return {
    current,
    limit,
    remaining: Math.max(0, limit - current),
    percentage: Math.min(100, Math.round((current / limit) * 1000) / 10),
    resetsInMs: Math.max(0, Math.ceil(resetsInMs)),
  }
}
