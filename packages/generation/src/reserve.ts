import { setTimeout as sleep } from 'node:timers/promises'
import type { Metrics } from '@knowalledge/metrics'
import type { QuotaClient, ReserveRequest, Verdict } from '@knowalledge/quota-client'
import { inSpan } from '@knowalledge/service-kit'
import type { RunContext } from './types.ts'

/** How long a call waits at most for a Redis that cannot be used, or for the end of a hold: a restart of Redis takes less. */
const longestWaitMs = 5_000
const retryMs = 150

/**
 * Reserves, and notes the verdict in the run's outcome and the metrics. Tries again when nothing can be reserved for a moment,
 * for half of the call's time at most, so that the client learns the reason. Ends early when the run's signal aborts.
 */
export async function reserve(
  amount: Omit<ReserveRequest, 'tenant'>,
  { quota, metrics, timeoutMs }: { quota: Pick<QuotaClient, 'reserve'>; metrics: Metrics; timeoutMs: number },
  { tenant, outcome, signal }: Pick<RunContext, 'tenant' | 'outcome' | 'signal'>,
): Promise<Verdict> {
  const giveUpAtMs = performance.now() + Math.min(longestWaitMs, timeoutMs / 2)
  const verdict = await inSpan('quota.reserve', { ...amount }, async () => {
    for (;;) {
      const verdict = await quota.reserve({ ...amount, tenant })
      const leftMs = giveUpAtMs - performance.now()
      if (!isShort(verdict, leftMs) || leftMs <= 0 || signal.aborted) return verdict
      await sleep(retryMs, undefined, { signal }).catch(() => {}) // aborted: seen after one more try
    }
  })
  outcome.quota = verdict.granted ? (verdict.degraded ? 'degraded' : 'granted') : 'refused'
  // A hold and an unavailable Redis have metrics of their own.
  if (!verdict.granted && verdict.reason !== 'hold' && verdict.reason !== 'unavailable')
    metrics.quotaExceeded(verdict.limitType)
  return verdict
}

/** True for a refusal that may end within `leftMs`. */
function isShort(verdict: Verdict, leftMs: number): boolean {
  if (verdict.granted) return false
  return verdict.reason === 'unavailable' || (verdict.reason === 'hold' && verdict.retryAfterMs <= leftMs)
}
