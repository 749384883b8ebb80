/** One admission as its caller saw it: asked and answered in milliseconds of a clock that all processes share. */
export interface Admission {
  askedMs: number
  answeredMs: number
  requests: number
  tokens: number
}

/** Milliseconds of the machine's clock with a fraction, the same for all of its processes. */
export function sharedClockMs(): number {
  return performance.timeOrigin + performance.now()
}

/**
 * The most that was surely admitted in any interval of `windowMs`, however placed: an admission happened somewhere
 * between its question and its answer, so it surely lies in an interval that holds both. Knows nothing of buckets.
 */
export function most(kind: 'requests' | 'tokens', admissions: Admission[], windowMs: number): number {
  const starts = admissions.toSorted((one, other) => one.askedMs - other.askedMs)
  let worst = 0
  for (const [first, { askedMs }] of starts.entries()) {
    let sum = 0
    for (let at = first; at < starts.length; at++) {
      const admission = starts[at]
      if (admission === undefined || admission.askedMs >= askedMs + windowMs) break
      if (admission.answeredMs < askedMs + windowMs) sum += admission[kind]
    }
    worst = Math.max(worst, sum)
  }
  return worst
}
