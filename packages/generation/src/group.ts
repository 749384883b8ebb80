import type { Metrics } from '@knowalledge/metrics'
import type { QuotaClient, Reservation, Tenant } from '@knowalledge/quota-client'
import { countRefusal, presentationTooLarge, quotaOutcome, quotaRefusal } from './failures.ts'
import { reserveInTime } from './reserve-in-time.ts'
import { inSpan } from './spans.ts'
import type { RunOutcome } from './types.ts'

/** Several calls reserved together, all or nothing, once it is known how many of them this caller has to make. */
export interface Group {
  /** Called by each call that leads: its part of the common reservation. Throws HttpError when the group is refused. */
  take(): Promise<Reservation | undefined>
  /** Reserves for `calls` calls; called once, when every question is known to be found, waited for or led. */
  open(calls: number): void
}

export interface GroupOptions {
  quota: QuotaClient
  metrics: Metrics
  /** Estimate of one call. */
  tokensEach: number
  outcome: RunOutcome
  tenant: Tenant | undefined
  /** Aborts when the client has gone. */
  signal: AbortSignal
  /** Timeout of one answer in milliseconds, retries included. */
  timeoutMs: number
}

/** A call that comes to lead only later (`take` beyond the group) reserves for itself. */
export function createGroup({ quota, metrics, tokensEach, outcome, tenant, signal, timeoutMs }: GroupOptions): Group {
  const parts = Promise.withResolvers<Reservation[]>()
  parts.promise.catch(() => {}) // a refusal reaches everyone who takes; with nobody left to take it is no fault
  const reserveAll = async (calls: number): Promise<Reservation[]> => {
    if (calls === 0) return []
    const verdict = await inSpan('quota.reserve', { requests: calls }, () =>
      reserveInTime(
        quota,
        { requests: calls, tokens: calls * tokensEach, priority: 'batch', tenant },
        { signal, timeoutMs },
      ),
    )
    outcome.quota = quotaOutcome(verdict)
    if (verdict.granted) return verdict.reservation.split(calls)
    countRefusal(metrics, verdict)
    throw verdict.reason === 'too_large' ? presentationTooLarge(calls, verdict, tokensEach) : quotaRefusal(verdict)
  }
  return {
    take: async () => (await parts.promise).pop(),
    open: (calls) => parts.resolve(reserveAll(calls)),
  }
}
