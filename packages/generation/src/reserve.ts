import { setTimeout as sleep } from 'node:timers/promises'
import type { Metrics } from '@knowalledge/metrics'
import type { Place, QuotaClient, Reservation, ReserveRequest, Verdict } from '@knowalledge/quota-client'
import { inSpan } from '@knowalledge/service-kit'
import type { Amount, ClientBudget } from './client-budget.ts'
import type { RunContext, RunWait } from './types.ts'

/** How long a call waits at most for a Redis that cannot be used, or for the end of a hold: a restart of Redis takes less. */
const longestWaitMs = 5_000
const retryMs = 150

/** The client has used its share of the quota. */
export interface ClientRefused {
  granted: false
  reason: 'client'
  limitType: 'client'
  retryAfterMs: number
}

interface ReserveTools {
  quota: Pick<QuotaClient, 'reserve'>
  budget?: ClientBudget | undefined
  metrics: Metrics
  timeoutMs: number
  /** True: during a pause of the pool the call does not line up, as another pool may serve it. Default false. */
  hasNextPool?: boolean
}

/**
 * Reserves within the client's share, and notes the verdict in the run's outcome and the metrics. Tries again when nothing can
 * be reserved for a moment, for half of the call's time at most, so that the client learns the reason. Ends early when the
 * run's signal aborts.
 */
export async function reserve(
  amount: Omit<ReserveRequest, 'tenant'>,
  { quota, budget, metrics, timeoutMs, hasNextPool = false }: ReserveTools,
  { tenant, client, outcome, signal, wait }: Pick<RunContext, 'tenant' | 'client' | 'outcome' | 'signal' | 'wait'>,
): Promise<Verdict | ClientRefused> {
  const giveUpAtMs = performance.now() + Math.min(longestWaitMs, timeoutMs / 2)
  const verdict = await inSpan('quota.reserve', { ...amount }, async () => {
    const share = client && (await budget?.take(client, amount, wait !== undefined))
    if (share?.granted === false) return { reason: 'client', limitType: 'client', ...share } as const
    for (;;) {
      const request = { ...amount, tenant, client: client?.id }
      const reserving = wait ? inLine(wait, request, { quota, metrics, signal, hasNextPool }) : quota.reserve(request)
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

/** Waits for one of the request's places, then in line. Rejects with the reason of `signal`, or with the instance's closing. */
async function inLine(
  { untilMs, places, line, closing, onPlace }: RunWait,
  request: ReserveRequest,
  {
    quota,
    metrics,
    signal,
    hasNextPool,
  }: Pick<ReserveTools, 'quota' | 'metrics' | 'hasNextPool'> & { signal: AbortSignal },
): Promise<Verdict> {
  const either = AbortSignal.any([signal, closing])
  await places.acquire(1, either)
  const ticket = {}
  const sinceMs = performance.now()
  const onWaiting = (place: Place) => {
    line.set(ticket, performance.now() + place.startsInMs)
    if (line.get(ticket) === Math.min(...line.values())) onPlace?.(place)
  }
  try {
    if (hasNextPool) {
      const verdict = await quota.reserve(request)
      if (verdict.granted || verdict.reason === 'paused') return verdict
    }
    const maxWaitMs = Math.max(0, Math.floor(untilMs - performance.now()))
    const verdict = await quota.reserve({ ...request, maxWaitMs, signal: either, onWaiting })
    if (line.has(ticket)) metrics.quotaWait(request.priority, performance.now() - sinceMs)
    return verdict
  } finally {
    line.delete(ticket)
    places.release(1)
  }
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
function isShort(verdict: Verdict, leftMs: number): boolean {
  if (verdict.granted) return false
  return verdict.reason === 'unavailable' || (verdict.reason === 'hold' && verdict.retryAfterMs <= leftMs)
}
