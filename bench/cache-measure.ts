import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Contender } from './cache-contenders.ts'
import { paths } from './cache-questions.ts'
import { cpuUs } from './process-cpu.ts'

/** What one contender did in one round. */
export interface Figures {
  requests: number
  requestsPerSecond: number
  p50Ms: number
  p99Ms: number
  /** Microseconds of CPU per request, by process. */
  cpuUs: Contender['processes']
}

export interface LoadOptions {
  /** Connections, kept alive, each with one request at a time. */
  inFlight: number
  seconds: number
}

/** Loads a contender from a process of its own, wrk, whose CPU is not counted. Throws when an answer was not a 200. */
export async function measure({ name, url, processes }: Contender, options: LoadOptions): Promise<Figures> {
  const used = () => Object.entries(processes).map(([process, pid]) => [process, cpuUs(pid)] as const)
  const before = Object.fromEntries(used())
  const load = await loadedWith({ script: 'cache-load.lua', words: paths }, url, options)
  const after = used()
  if (load.failed > 0) throw new Error(`${name}: ${load.failed} of ${load.requests} requests failed`)
  return {
    requests: load.requests,
    requestsPerSecond: load.requests / (load.durationUs / 1e6),
    p50Ms: load.p50Us / 1000,
    p99Ms: load.p99Us / 1000,
    cpuUs: Object.fromEntries(after.map(([process, us]) => [process, (us - (before[process] ?? 0)) / load.requests])),
  }
}

export interface Load {
  requests: number
  failed: number
  durationUs: number
  p50Us: number
  p99Us: number
}

/** Loads a URL by wrk with a script of this folder, which is given `words`. */
export async function loadedWith(
  { script, words }: { script: string; words: readonly string[] },
  url: string,
  { inFlight, seconds }: LoadOptions,
): Promise<Load> {
  const file = fileURLToPath(new URL(script, import.meta.url))
  const options = ['-t1', `-c${inFlight}`, `-d${seconds}s`, '--timeout', '30s', '-s', file, url, '--', ...words]
  const { stdout } = await promisify(execFile)('wrk', options).catch((cause) => {
    if (cause.code === 'ENOENT') throw new Error('The load comes from wrk: apt-get install wrk', { cause })
    throw cause
  })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Load
}
