import { parentPort, workerData } from 'node:worker_threads'
import { scriptText } from '../src/redis/layout.ts'
import { scheduleOf } from './kinds.ts'
import type { Outcome } from './outcome.ts'
import { RealRedis } from './real-redis.ts'
import { VirtualRedis } from './server.ts'
import { type Stage, simulate } from './simulation.ts'

export interface Task {
  seed: number
  kind: string
}

export interface Played extends Task {
  outcome: Omit<Outcome, 'timeline'>
}

/** A connection to a Redis with the script, for simulations at the same time, each in its own virtual time and its own key. */
export async function openStage(socketPath: string): Promise<Stage> {
  const real = await RealRedis.connect(socketPath)
  return { real, sha: await VirtualRedis.load(real, scriptText()), plays: 0 }
}

if (parentPort) {
  const port = parentPort
  const stage = await openStage((workerData as { socketPath: string }).socketPath)
  port.on('message', async (task: Task | 'end') => {
    if (task === 'end') process.exit(0)
    const { timeline: _, ...outcome } = await simulate(scheduleOf(task.seed, task.kind), stage)
    port.postMessage({ ...task, outcome } satisfies Played)
  })
}
