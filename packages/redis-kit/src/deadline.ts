/** Time as the deadlines take it from their surroundings; a simulation brings its own. */
export interface Clock {
  /** Milliseconds of a clock that never steps. */
  monotonicMs(): number
  /** Calls back once, after all input that has arrived by then was read. Keeps no process alive. */
  setTimer(callback: () => void, ms: number): { cancel(): void }
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  setTimer(callback, ms) {
    let immediate: NodeJS.Immediate | undefined
    // The event loop runs timers, then reads its sockets, then runs immediates.
    const timer = setTimeout(() => {
      immediate = setImmediate(callback)
    }, ms).unref()
    return {
      cancel() {
        clearTimeout(timer)
        clearImmediate(immediate)
      },
    }
  },
}

/** A timer later than this means that this process stalled, in milliseconds. */
const stallMs = 20
const maxStalls = 5

/**
 * The answer, or an error after `ms`. A stall of this process is not a late answer: while the timer itself comes late the
 * time starts again, at most five times, and what has arrived in the meantime counts.
 */
export function withDeadline<T>(answer: Promise<T>, ms: number, clock: Clock = systemClock): Promise<T> {
  return new Promise((resolve, reject) => {
    const start = (stallsLeft: number) => {
      const dueAtMs = clock.monotonicMs() + ms
      return clock.setTimer(() => {
        if (stallsLeft > 0 && clock.monotonicMs() - dueAtMs > stallMs) timer = start(stallsLeft - 1)
        else reject(new Error(`Redis did not answer within ${ms} ms`))
      }, ms)
    }
    let timer = start(maxStalls)
    answer.then(resolve, reject).finally(() => timer.cancel())
  })
}
