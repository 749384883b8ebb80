import type { Registry } from '@prometheus-io/client'
import { type PoolFigure, quotaInstruments } from './instruments.ts'
import { type QuotaGauges, type QuotaPoolReader, quotaPriorities } from './types.ts'

// A scrape must not hang on a slow Redis: after this it shows the last known figures and `quota_degraded 1`. Half of the
// 20 ms that are promised for the whole scrape.
const quotaReadTimeoutMs = 10

/** A function that brings the quota gauges up to date and says whether the first pool is degraded; it never rejects. */
export function createQuotaRefresh(
  registry: Registry,
  pools: readonly QuotaPoolReader[],
): () => Promise<{ degraded: boolean; writable: boolean }> {
  const gauges = quotaInstruments(registry)
  const [first, ...others] = pools.map((pool, at) => new PoolGauges(gauges, pool, at === 0))
  return async () => {
    const readings = [first, ...others].map((pool) =>
      within(quotaReadTimeoutMs, pool?.read() ?? Promise.resolve(true), true),
    )
    const [degraded = true] = await Promise.all(readings)
    gauges.degraded.set(degraded ? 1 : 0)
    return { degraded, writable: first?.isWritable ?? false }
  }
}

type Gauges = ReturnType<typeof quotaInstruments>

/** The gauges of one pool; the first one's figures are shown without a label, too. */
class PoolGauges {
  isWritable = false
  readonly #gauges: Gauges
  readonly #pool: QuotaPoolReader
  readonly #isFirst: boolean
  readonly #counted: Record<string, number> = {}
  #begun = 0
  #shown = 0

  constructor(gauges: Gauges, pool: QuotaPoolReader, isFirst: boolean) {
    this.#gauges = gauges
    this.#pool = pool
    this.#isFirst = isFirst
  }

  /** Reads and shows the pool; true when it is degraded. An answer too late for its scrape is the last known one for the next. */
  async read(): Promise<boolean> {
    this.#begun += 1
    const turn = this.#begun
    try {
      const usage = await this.#pool.usage()
      if (turn > this.#shown) {
        this.#shown = turn
        this.#show(usage)
      }
      this.isWritable = !usage.degraded
      return usage.degraded
    } catch {
      this.isWritable = false
      return true // the cause is the quota client's to log; here it is the gauge quota_degraded
    }
  }

  #show(usage: QuotaGauges): void {
    const { ofPools, ofFirst, poolPause, poolQueueLength, queueLength } = this.#gauges
    const pool = this.#pool.name
    const figures = figuresOf(usage)
    for (const [name, gauge] of ofPools) gauge.set({ pool }, figures[name])
    for (const priority of quotaPriorities) poolQueueLength.set({ pool, priority }, usage.queue[priority].length)
    poolPause.set({ pool }, Math.max(0, (usage.pause?.untilMs ?? 0) - Date.now()) / 1000)
    if (!this.#isFirst) return
    for (const [name, gauge] of ofFirst) gauge.set(figures[name])
    for (const priority of quotaPriorities) queueLength.set({ priority }, usage.queue[priority].length)
    this.#count(usage.heldMs)
  }

  #count(heldMs: QuotaGauges['heldMs']): void {
    for (const [cause, ms] of Object.entries(heldMs)) {
      this.#gauges.holds.inc({ cause }, (ms - (this.#counted[cause] ?? 0)) / 1000)
      this.#counted[cause] = ms
    }
  }
}

function figuresOf({ requests, tokens, hold }: QuotaGauges): Record<PoolFigure, number> {
  return {
    requests_current_minute: requests.perMinute.current,
    requests_today: requests.perDay.current,
    tokens_current_minute: tokens.perMinute.current,
    tokens_today: tokens.perDay.current,
    rpm_remaining: requests.perMinute.remaining,
    rpd_remaining: requests.perDay.remaining,
    tpm_remaining: tokens.perMinute.remaining,
    tpd_remaining: tokens.perDay.remaining,
    rpm_limit: requests.perMinute.limit,
    rpd_limit: requests.perDay.limit,
    tpm_limit: tokens.perMinute.limit,
    tpd_limit: tokens.perDay.limit,
    hold_seconds: (hold?.endsInMs ?? 0) / 1000,
  }
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
