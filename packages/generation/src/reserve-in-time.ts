import { setTimeout as sleep } from 'node:timers/promises'
import type { QuotaClient, ReserveRequest, Verdict } from '@knowalledge/quota-client'

/** How long a call waits at most for a Redis that cannot be used, or for the end of a hold: a restart of Redis takes less. */
const longestWaitMs = 5_000
const retryMs = 150

/**
 * Reserves, and tries again when nothing can be reserved for a moment: for half of the call's time at most, so that the client
 * is told why. Ends early when `signal` aborts.
 */
export async function reserveInTime(
  quota: Pick<QuotaClient, 'reserve'>,
  request: ReserveRequest,
  { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
): Promise<Verdict> {
  const giveUpAt = performance.now() + Math.min(longestWaitMs, timeoutMs / 2)
  for (;;) {
    const verdict = await quota.reserve(request)
    const leftMs = giveUpAt - performance.now()
    const isShort =
      !verdict.granted &&
      (verdict.reason === 'unavailable' || (verdict.reason === 'hold' && verdict.retryAfterMs <= leftMs))
    if (!isShort || leftMs <= 0 || signal.aborted) return verdict
    await sleep(retryMs, undefined, { signal }).catch(() => {}) // aborted: seen after one more try
  }
}
