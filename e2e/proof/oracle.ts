import type { Arrival } from '@knowalledge/gemini-emulator'

/**
 * Knows when each call came to which model of Gemini, and nothing of buckets, reservations or Redis. Times in milliseconds, in
 * order.
 */

/** The times of each model's calls: Gemini counts each model by itself. */
export function timesByModel(calls: readonly Arrival[]): Map<string, number[]> {
  const times = new Map<string, number[]>()
  for (const { model, atMs } of calls) times.set(model, [...(times.get(model) ?? []), atMs])
  return times
}

/** The most calls of one model in any interval of `windowMs`, however placed. */
export function mostOfAnyModel(calls: readonly Arrival[], windowMs: number): number {
  return Math.max(0, ...[...timesByModel(calls).values()].map((times) => mostInAnyWindow(times, windowMs)))
}

/** Each call with which more than `limit` of its model were in one window, as a line: the evidence against the system. */
export function overLimit(
  calls: readonly Arrival[],
  run: { limit: number; windowMs: number; fromMs: number },
): string[] {
  return calls.flatMap(({ atMs, task, model }, at) => {
    const before = calls.slice(0, at + 1).filter((call) => call.model === model)
    const inWindow = before.filter((call) => call.atMs > atMs - run.windowMs).length
    if (inWindow <= run.limit) return []
    return [
      `${((atMs - run.fromMs) / 1000).toFixed(2)} s: a ${task} call of ${model} was number ${inWindow} in its window`,
    ]
  })
}

/** The most calls in any interval of `windowMs`, however placed. */
export function mostInAnyWindow(timesMs: readonly number[], windowMs: number): number {
  let most = 0
  let first = 0
  for (let last = 0; last < timesMs.length; last++) {
    while ((timesMs[first] as number) <= (timesMs[last] as number) - windowMs) first++
    most = Math.max(most, last - first + 1)
  }
  return most
}

/**
 * The share of the quota that was used under steady demand, from `windows` windows of calls. Quota comes back as it was
 * taken, a window later: so what is measured is how long the next `limit` × (`windows` − 1) calls took, beginning at each
 * call of the first window in turn. A count in a fixed interval would depend on where in a burst the interval begins.
 */
export function usedShare(
  timesMs: readonly number[],
  run: { limit: number; windowMs: number; windows: number },
): number {
  const { limit, windowMs, windows } = run
  const startedMs = timesMs[0] ?? 0
  const firsts = timesMs.findIndex((atMs) => atMs >= startedMs + windowMs)
  const shares = timesMs.slice(0, Math.max(0, firsts)).map((fromMs, first) => {
    const toMs = timesMs[first + limit * (windows - 1)]
    return toMs === undefined ? undefined : ((windows - 1) * windowMs) / (toMs - fromMs)
  })
  // Without the calls in the time that there was, quota was left: what came in all of it counts.
  const whole = shares.filter((share) => share !== undefined)
  return whole.length < limit / 2 ? timesMs.length / (limit * windows) : whole.reduce((a, b) => a + b, 0) / whole.length
}
