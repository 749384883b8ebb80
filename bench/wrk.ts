import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { cpuUs } from './process-figures.ts'

/** What was measured in one round. */
export interface Figures {
  requests: number
  requestsPerSecond: number
  p50Ms: number
  p99Ms: number
  /** Microseconds of CPU per request, by process. */
  cpuUs: Record<string, number>
}

export interface Loaded {
  name: string
  url: string
  /** Ids of the processes whose CPU counts, by name. */
  processes: Record<string, number>
  /** The Lua script of this folder that wrk runs, and its arguments. */
  script: string
  given: readonly string[]
}

export interface LoadOptions {
  /** Connections, kept alive, each with one request at a time. */
  inFlight: number
  seconds: number
}

/** Times that a load is tried: on a busy machine Redis is late at times, and then the gateway or a service refuses. */
const tries = 5

/** Loads something from a process of its own, wrk, whose CPU is not counted. Throws unless all answers are 2xx or 3xx. */
export async function load(loaded: Loaded, options: LoadOptions): Promise<Figures> {
  const failures: string[] = []
  while (failures.length < tries) {
    const { figures, seen } = await loadOnce(loaded, options)
    if (seen.failed === 0) return figures
    failures.push(`${seen.failed} of ${seen.requests}`)
    await sleep(2_000) // until what was late is in use again
  }
  throw new Error(`${loaded.name}: ${tries} times in a row requests failed (${failures.join(', ')})`)
}

async function loadOnce({ url, processes, ...how }: Loaded, options: LoadOptions) {
  const used = () => Object.entries(processes).map(([process, pid]) => [process, cpuUs(pid)] as const)
  const before = Object.fromEntries(used())
  const seen = await run(url, { ...how, ...options })
  const after = used()
  const figures: Figures = {
    requests: seen.requests,
    requestsPerSecond: seen.requests / (seen.durationUs / 1e6),
    p50Ms: seen.p50Us / 1000,
    p99Ms: seen.p99Us / 1000,
    cpuUs: Object.fromEntries(after.map(([process, us]) => [process, (us - (before[process] ?? 0)) / seen.requests])),
  }
  return { figures, seen }
}

/** What wrk itself saw. */
export interface Seen {
  requests: number
  failed: number
  durationUs: number
  p50Us: number
  p99Us: number
}

export type Run = Pick<Loaded, 'script' | 'given'> & LoadOptions

/** Loads a URL by wrk with a script of this folder, which is given words. */
export async function run(url: string, { script, given, inFlight, seconds }: Run): Promise<Seen> {
  const file = fileURLToPath(new URL(script, import.meta.url))
  const options = ['-t1', `-c${inFlight}`, `-d${seconds}s`, '--timeout', '30s', '-s', file, url, '--', ...given]
  const { stdout } = await promisify(execFile)('wrk', options)
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Seen
}
