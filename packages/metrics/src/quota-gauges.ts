import type { Registry } from '@prometheus-io/client'
import { quotaInstruments } from './instruments.ts'
import { type QuotaGauges, quotaPriorities } from './types.ts'

// A scrape must not hang on a slow Redis: after this it shows the last known figures and `quota_degraded 1`. Half of the
// 20 ms that are promised for the whole scrape.
const quotaReadTimeoutMs = 10

/** A function that brings the quota gauges up to date and says whether the quota is degraded; it never rejects. */
export function createQuotaRefresh(
  registry: Registry,
  readQuota: () => Promise<QuotaGauges>,
): () => Promise<{ degraded: boolean; writable: boolean }> {
  const gauges = quotaInstruments(registry)
  const counted: Record<string, number> = {}
  let writable = false
  let begun = 0
  let shown = 0

  // An answer that comes too late for its own scrape is still the last known one for the next.
  async function read(): Promise<boolean> {
    begun += 1
    const turn = begun
    try {
      const usage = await readQuota()
      if (turn > shown) {
        shown = turn
        show(gauges, usage)
        count(usage.heldMs)
      }
      writable = !usage.degraded
      return usage.degraded
    } catch {
      writable = false
      return true // the cause is the quota client's to log; here it is the gauge quota_degraded
    }
  }

  function count(heldMs: QuotaGauges['heldMs']): void {
    for (const [cause, ms] of Object.entries(heldMs)) {
      gauges.holds.inc({ cause }, (ms - (counted[cause] ?? 0)) / 1000)
      counted[cause] = ms
    }
  }

  return async () => {
    const degraded = await within(quotaReadTimeoutMs, read(), true)
    gauges.degraded.set(degraded ? 1 : 0)
    return { degraded, writable }
  }
}

function show(gauges: ReturnType<typeof quotaInstruments>, { requests, tokens, hold, queue }: QuotaGauges): void {
  for (const priority of quotaPriorities) gauges.queueLength.set({ priority }, queue[priority].length)
  gauges.holdSeconds.set((hold?.endsInMs ?? 0) / 1000)
  gauges.requestsMinute.set(requests.perMinute.current)
  gauges.requestsDay.set(requests.perDay.current)
  gauges.tokensMinute.set(tokens.perMinute.current)
  gauges.tokensDay.set(tokens.perDay.current)
  gauges.rpmRemaining.set(requests.perMinute.remaining)
  gauges.rpdRemaining.set(requests.perDay.remaining)
  gauges.tpmRemaining.set(tokens.perMinute.remaining)
  gauges.tpdRemaining.set(tokens.perDay.remaining)
  gauges.rpmLimit.set(requests.perMinute.limit)
  gauges.rpdLimit.set(requests.perDay.limit)
  gauges.tpmLimit.set(tokens.perMinute.limit)
  gauges.tpdLimit.set(tokens.perDay.limit)
}

async function within<T>(timeoutMs: number, promise: Promise<T>, otherwise: T): Promise<T> {
  const { promise: timedOut, resolve } = Promise.withResolvers<T>()
  const timer = setTimeout(resolve, timeoutMs, otherwise)
  try {
    return await Promise.race([promise, timedOut])
  } finally {
    clearTimeout(timer)
  }
}
