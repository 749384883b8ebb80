import { redisOptions } from '@knowalledge/redis-kit'
import type { QuotaClient, QuotaLimits, Reservation, ReserveRequest, Verdict } from '../../src/index.ts'

/** For tests that are not about faults: a machine that stalls for seconds is none. Goes with `lenientConnection`. */
export const longTimeout = { transitMs: 20_000 }
export const lenientConnection = () => redisOptions({ commandTimeout: longTimeout.transitMs })

export const roomy: QuotaLimits = { rpm: 1000, rpd: 10_000, tpm: 1_000_000, tpd: 10_000_000 }

export function ask(changes: Partial<ReserveRequest> = {}): ReserveRequest {
  return { requests: 1, tokens: 0, priority: 'interactive', ...changes }
}

export function heldBy(verdict: Verdict): Reservation {
  if (!verdict.granted) throw new Error(`refused: ${JSON.stringify(verdict)}`)
  return verdict.reservation
}

/** How many of so many calls of one turn were granted. */
export async function grantsOf(quota: QuotaClient, calls: number, request = ask()): Promise<number> {
  const verdicts = await Promise.all(Array.from({ length: calls }, () => quota.reserve(request)))
  return verdicts.filter(({ granted }) => granted).length
}
