import { setTimeout as sleep } from 'node:timers/promises'
import type { QuotaClient, ReserveRequest, Verdict } from '@knowalledge/quota-client'

/** Instances that shared the quota decide together again within a second or two of Redis's return. */
const redisPatienceMs = 3_000
const askAgainMs = 150

/**
 * Reserves. An instance that has just lost Redis takes nothing, lest others take the same: so what it refuses by itself
 * is asked for again for a while, and a stumble of Redis is a short wait and no error. Ends early when `signal` aborts.
 */
export async function reservePatiently(
  quota: Pick<QuotaClient, 'reserve'>,
  request: ReserveRequest,
  signal: AbortSignal,
): Promise<Verdict> {
  for (let waitedMs = 0; ; waitedMs += askAgainMs) {
    const verdict = await quota.reserve(request)
    const mayHelp = !verdict.granted && verdict.degraded && verdict.reason === 'spent'
    if (!mayHelp || waitedMs >= redisPatienceMs || signal.aborted) return verdict
    await sleep(askAgainMs, undefined, { signal }).catch(() => {}) // aborted: seen after one more question
  }
}
