import { setTimeout as sleep } from 'node:timers/promises'
import type { Step } from './faults.ts'
import type { Fleet } from './fleet.ts'
import { type ProcessFindings, playOnProcesses } from './process-faults.ts'
import { playOnRedis } from './redis-faults.ts'

export interface Played extends ProcessFindings {
  /** By what was done, how often. */
  counts: Map<string, number>
}

/** Plays faults on a fleet: those on processes, on Redis and on Gemini beside each other, each kind one after the other. */
export async function playFaults(fleet: Fleet, steps: readonly Step[], say: (line: string) => void): Promise<Played> {
  const findings: ProcessFindings = { complaints: [], longestStopMs: 0, stoppedAtGrant: 0, smallerLimits: [] }
  const played: Played = Object.assign(findings, { counts: new Map<string, number>() })
  const exclusively = oneAtATime()
  const play = async (step: Step): Promise<void> => {
    if (step.on === 'redis') return await exclusively(() => playOnRedis(fleet.redis, step, () => sleep(step.forMs)))
    if (step.on === 'processes') return await playOnProcesses({ fleet, findings: played, exclusively }, step)
    await fleet.emulator.addFault(step.spec)
    await sleep(step.forMs)
    await fleet.emulator.clearFaults()
  }
  const startedAt = performance.now()
  const track = async (on: Step['on']) => {
    for (const step of steps.filter((step) => step.on === on)) {
      await sleep(Math.max(0, step.atMs - (performance.now() - startedAt)))
      say(`${((performance.now() - startedAt) / 1000).toFixed(1)} s: ${described(step)}, for ${step.forMs} ms`)
      const kind = `${step.on} ${step.what}`
      played.counts.set(kind, (played.counts.get(kind) ?? 0) + 1)
      await play(step)
    }
  }
  await Promise.all([track('processes'), track('redis'), track('gemini')])
  return played
}

function described(step: Step): string {
  const what = `${step.on}: ${step.what}`
  if ('member' in step) return `${what} ${step.member}`
  if ('members' in step) return `${what} (${step.members.join(', ')}: ${step.mode})`
  if ('change' in step) return `${what} (transit ${step.change.transitMs} ms, ${step.change.rpm} requests)`
  return what
}

/** One task after the other, in the order in which they came. */
function oneAtATime(): <T>(task: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (task) => {
    const result = last.then(task)
    last = result.catch(() => {}) // told to whoever gave the task
    return result
  }
}
