import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/**
 * Microseconds of CPU, user and system, that a process, its threads and its child processes have used: the first figure of
 * /proc/<pid>/task/<tid>/schedstat, which is what utime and stime of /proc/<pid>/stat are made of, not rounded to 10 ms.
 */
export function cpuUs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}`)
  return threads.reduce(
    (sum, thread) => {
      const nanoseconds = Number(readFileSync(`${thread}/schedstat`, 'utf8').split(' ')[0])
      return sum + nanoseconds / 1000
    },
    childrenOf(pid).reduce((sum, child) => sum + cpuUs(child), 0),
  )
}

export function childrenOf(pid: number): number[] {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  )
}

/** Physical memory of a process: now, or the most that it ever had. */
export function residentMiB(pid: number, figure: 'now' | 'peak' = 'now'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const name = figure === 'now' ? 'VmRSS' : 'VmHWM'
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024
}

export function pidOf({ process }: { process: Pick<ChildProcess, 'pid'> }): number {
  if (process.pid === undefined) throw new Error('a process without an id')
  return process.pid
}
