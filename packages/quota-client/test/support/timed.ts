import { monitorEventLoopDelay } from 'node:perf_hooks'

/** How long something took, less the time for which this process itself stood still: that is the machine's doing. */
export async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const stall = monitorEventLoopDelay({ resolution: 1 })
  stall.enable()
  const startedAt = performance.now()
  const value = await work()
  const ms = performance.now() - startedAt
  stall.disable()
  return { value, ms: ms - stall.max / 1e6 }
}
