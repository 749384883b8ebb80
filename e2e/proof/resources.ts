import { setTimeout as sleep } from 'node:timers/promises'
import type { Fleet } from './fleet.ts'

export interface Sample {
  /** Since the sampling began. */
  atMs: number
  value: number
}

export interface Samples {
  memoryBytes: Sample[]
  /** Open file descriptors: sockets, files, pipes. */
  handles: Sample[]
}

export interface Sampling {
  /** Memory of each process now, for the progress. */
  now(): string
  stop(): Promise<Map<string, Samples>>
}

const everyMs = 1_000
const kinds = { memoryBytes: 'process_resident_memory_bytes', handles: 'process_open_fds' } as const

/** Reads what every process says of itself at /metrics, every second. */
export function startSampling(fleet: Fleet): Sampling {
  const seen = new Map(fleet.running.map(({ name }): [string, Samples] => [name, { memoryBytes: [], handles: [] }]))
  const over = new AbortController()
  const startedAt = performance.now()
  const sampling = (async () => {
    while (!over.signal.aborted) {
      for (const { name, url } of fleet.running) {
        const text = await (await fetch(`${url}/metrics`)).text()
        const atMs = performance.now() - startedAt
        for (const [kind, metric] of Object.entries(kinds) as [keyof Samples, string][])
          seen.get(name)?.[kind].push({ atMs, value: metricOf(text, metric) })
      }
      await sleep(everyMs, undefined, { signal: over.signal }).catch(() => {}) // over
    }
  })()
  return {
    now: () =>
      [...seen.values()].map(({ memoryBytes }) => Math.round((memoryBytes.at(-1)?.value ?? 0) / 2 ** 20)).join(', '),
    async stop() {
      over.abort()
      await sampling
      return seen
    },
  }
}

/** What a figure settles at: in the first and the last third after the warm-up. */
export interface Growth {
  first: number
  last: number
}

/** By the medians: one collection of garbage, early or late, moves neither much. */
export function memoryGrowth(samples: Samples, warmUpMs: number): Growth {
  return growth(samples.memoryBytes, warmUpMs, median)
}

/** By the least: connections come and go with what is in flight, and one that leaks never goes. */
export function handleGrowth(samples: Samples, warmUpMs: number): Growth {
  return growth(samples.handles, warmUpMs, (values) => Math.min(...values))
}

function growth(samples: readonly Sample[], warmUpMs: number, settled: (values: readonly number[]) => number): Growth {
  const steady = samples.filter(({ atMs }) => atMs >= warmUpMs).map(({ value }) => value)
  const third = Math.floor(steady.length / 3)
  if (third < 3) throw new Error(`${steady.length} samples after the warm-up are too few`)
  return { first: settled(steady.slice(0, third)), last: settled(steady.slice(-third)) }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number
}

function metricOf(text: string, metric: string): number {
  const value = new RegExp(`^${metric}(?:\\{[^}]*\\})? (\\S+)`, 'm').exec(text)?.[1]
  if (value === undefined) throw new Error(`/metrics has no ${metric}`)
  return Number(value)
}
