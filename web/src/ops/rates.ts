import type { Counts, Model, OpsState } from './state.ts'

/** What the charts and tables compare: totals since the start of the instances, at a time. */
export interface Sample {
  atMs: number
  cache: Counts
  models: Map<string, Model>
}

/** A point of the charts. `null`: nothing happened that it could be made of. */
export interface Point {
  atMs: number
  used: number
  limit: number
  waiting: number
  /** In the last minute. */
  calls: number
  failed: number
  /** Per cent, of the look-ups of the last minute. */
  hitRate: number | null
}

const windowMs = 60_000
/** Of what is kept: 15 minutes, an event every 2 s. */
export const maxPoints = 450

export function sampleOf({ atMs, cache, gemini }: OpsState): Sample {
  return { atMs, cache, models: new Map(gemini.map((model) => [model.model, model])) }
}

/** Appends, and drops the oldest. */
export function kept<T>(list: readonly T[], next: T): T[] {
  return [...list.slice(1 - maxPoints), next]
}

/** The sample of a minute before the last one, or the oldest there is. */
export function minuteBefore(samples: readonly Sample[]): Sample | undefined {
  const last = samples.at(-1)
  return last && (samples.find(({ atMs }) => last.atMs - atMs <= windowMs) ?? last)
}

export function pointOf(state: OpsState, before: Sample): Point {
  const now = sampleOf(state)
  const uses = [...now.models.keys()].map((name) => useOf(name, before, now))
  const rpm = state.pools.flatMap(({ limits }) => limits.filter(({ name }) => name === 'rpm'))
  const lines = state.pools.flatMap(({ queue }) => [queue.interactive.length, queue.batch.length])
  return {
    atMs: state.atMs,
    used: sum(rpm.map(({ used }) => used)),
    limit: sum(rpm.map(({ limit }) => limit)),
    waiting: sum(lines),
    calls: sum(uses.map(({ calls }) => calls)),
    failed: sum(uses.map(({ failed }) => failed)),
    hitRate: hitRateOf(difference(now.cache, before.cache)),
  }
}

/** Per cent of the look-ups that needed no call; null without look-ups. */
export function hitRateOf({ memory = 0, redis = 0, coalesced = 0, miss = 0 }: Counts): number | null {
  const hits = memory + redis + coalesced
  return hits + miss === 0 ? null : (100 * hits) / (hits + miss)
}

/** Of the calls that ended between two samples. */
export interface ModelUse {
  calls: number
  failed: number
  tokens: number
  meanSeconds: number | null
  /** The bound in seconds below which 95 % of them were. */
  p95Seconds: number | null
}

export function useOf(name: string, before: Sample, now: Sample): ModelUse {
  const [a, b] = [before.models.get(name), now.models.get(name)]
  const calls = difference(b?.calls ?? {}, a?.calls ?? {})
  const within = difference(b?.within ?? {}, a?.within ?? {})
  const all = sum(Object.values(calls))
  const seconds = Math.max(0, (b?.seconds ?? 0) - (a?.seconds ?? 0))
  return {
    calls: all,
    failed: all - (calls.success ?? 0) - (calls.cancelled ?? 0),
    tokens: Math.max(0, (b?.tokens ?? 0) - (a?.tokens ?? 0)),
    meanSeconds: all === 0 ? null : seconds / all,
    p95Seconds: boundOf(within, 0.95),
  }
}

function boundOf(within: Counts, share: number): number | null {
  const all = within['+Inf'] ?? 0
  if (all === 0) return null
  const bounds = Object.entries(within).map(([bound, count]): [number, number] => [
    bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound),
    count ?? 0,
  ])
  const enough = bounds.filter(([, count]) => count >= share * all).map(([bound]) => bound)
  return Math.min(...enough)
}

/** Never below zero: an instance that restarts begins again at 0. */
function difference(now: Counts, before: Counts): Record<string, number> {
  return Object.fromEntries(
    Object.entries(now).map(([name, count]) => [name, Math.max(0, (count ?? 0) - (before[name] ?? 0))]),
  )
}

function sum(numbers: readonly (number | undefined)[]): number {
  return numbers.reduce<number>((total, number) => total + (number ?? 0), 0)
}
