import { setTimeout as sleep } from 'node:timers/promises'
import type { Metrics } from '@knowalledge/metrics'
import type { Place, QuotaClient, Reservation, ReserveRequest, Verdict } from '@knowalledge/quota-client'
import { inSpan } from '@knowalledge/service-kit'
import type { Amount, ClientBudget } from './client-budget.ts'
import type { ClientRefused, RunContext } from './types.ts'
import { reserveInLine } from './waiting-line.ts'

/** How long a call waits at most for a Redis that cannot be used, or for the end of a hold: a restart of Redis takes less. */
const longestWaitMs = 5_000
const retryMs = 150

interface ReserveTools {
  quota: Pick<QuotaClient, 'reserve'>
  budget?: ClientBudget | undefined
  metrics: Metrics
  timeoutMs: number
  /** True: during a pause of the pool the call does not line up, as another pool may serve it. Default false. */
  hasNextPool?: boolean
  /** Notified of the call's place in line, and with undefined when it has none any more. */
  onPlace?: (place: Place | undefined) => void
}

/**
 * Reserves within the client's share, and notes the verdict in the run's outcome and the metrics. Tries again when nothing can
 * be reserved for a moment, for half of the call's time at most, so that the client learns the reason. Ends early when the
 * run's signal aborts.
 */
export async function reserve(
  amount: Omit<ReserveRequest, 'tenant'>,
  { quota, budget, metrics, timeoutMs, hasNextPool = false, onPlace = () => {} }: ReserveTools,
  { tenant, client, outcome, signal, wait }: Pick<RunContext, 'tenant' | 'client' | 'outcome' | 'signal' | 'wait'>,
): Promise<Verdict | ClientRefused> {
  const giveUpAtMs = performance.now() + Math.min(longestWaitMs, timeoutMs / 2)
  const verdict = await inSpan('quota.reserve', { ...amount }, async () => {
    const share = client && (await budget?.take(client, amount, wait !== undefined))
    if (share?.granted === false) return { reason: 'client', limitType: 'client', ...share } as const
    for (;;) {
      const request = { ...amount, tenant, client: client?.id }
      const reserving = wait
        ? reserveInLine(wait, request, { quota, metrics, signal, hasNextPool, onPlace })
        : quota.reserve(request)
      const verdict = await reserving.catch(async (error) => {
        await share?.giveBack(amount)
        throw error
      })
      const leftMs = giveUpAtMs - performance.now()
      if (wait || !isShort(verdict, leftMs) || leftMs <= 0 || signal.aborted) {
        if (share && verdict.granted) return { ...verdict, reservation: ofShare(verdict.reservation, share.giveBack) }
        await share?.giveBack(amount)
        return verdict
      }
      await sleep(retryMs, undefined, { signal }).catch(() => {}) // aborted: seen after one more try
    }
  })
  outcome.quota = verdict.granted ? (verdict.degraded ? 'degraded' : 'granted') : 'refused'
  // A hold and an unavailable Redis have metrics of their own.
  if (!verdict.granted && verdict.reason !== 'hold' && verdict.reason !== 'unavailable')
    metrics.quotaExceeded(verdict.limitType)
  return verdict
}

/** The reservation, whose release gives back the client's share as well. */
function ofShare(reservation: Reservation, giveBack: (amount: Amount) => Promise<void>): Reservation {
  const { requests, tokens } = reservation
  return {
    requests,
    tokens,
    start: () => reservation.start(),
    settle: (actualTokens) => reservation.settle(actualTokens),
    release() {
      reservation.release()
      void giveBack({ requests, tokens })
    },
    split: (parts) => reservation.split(parts).map((part) => ofShare(part, giveBack)),
  }
}

/** True for a refusal that may end within `leftMs`. */
function isShort(verdict: Verdict | ClientRefused, leftMs: number): boolean {
  if (verdict.granted) return false
  return verdict.reason === 'unavailable' || (verdict.reason === 'hold' && verdict.retryAfterMs <= leftMs)
}
