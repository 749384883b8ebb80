import { setImmediate as turn } from 'node:timers/promises'
import type { Contender } from './quota-contenders.ts'
import { at, median } from './statistics.ts'

/** What one contender did in one round, or, after `summary`, in all of them. */
export interface Figures {
  decisionsPerSecond: number
  p50Ms: number
  p99Ms: number
  /** Microseconds of CPU per decision, in Redis and in the client's process. */
  redisCpuUs: number
  clientCpuUs: number
}

/** Microseconds of CPU that Redis has used until now. */
export type RedisCpu = () => Promise<number>

/** To look at the clock costs a tenth of what the fastest decision does: one in so many is timed. */
const timedEvery = 4

/** Closed loop: as many strands as decisions in flight, each asking again when it has its answer. */
export async function closedLoop(contender: Contender, forMs: number, redisCpu: RedisCpu): Promise<Figures> {
  return measure(redisCpu, async (latencies) => {
    const endsAt = performance.now() + forMs
    const { decide, use } = contender
    let decisions = 0
    const strand = async () => {
      for (let asked = 0; ; asked++) {
        const isTimed = asked % timedEvery === 0
        const startedAt = isTimed ? performance.now() : 0
        if (isTimed && startedAt >= endsAt) return
        const answer = await decide()
        use?.(answer)
        decisions++
        if (isTimed) latencies.push(performance.now() - startedAt)
      }
    }
    await Promise.all(Array.from({ length: contender.inFlight }, strand))
    return decisions
  })
}

/** Open loop: `perSecond` arrivals at random distances, whether or not the ones before have their answer. */
export async function openLoop(
  contender: Contender,
  { forMs, perSecond }: { forMs: number; perSecond: number },
  redisCpu: RedisCpu,
): Promise<Figures> {
  return measure(redisCpu, async (latencies) => {
    const endsAt = performance.now() + forMs
    const running: Promise<unknown>[] = []
    let dueAt = performance.now()
    while (dueAt < endsAt) {
      while (performance.now() < dueAt) await turn()
      const startedAt = performance.now()
      running.push(
        contender.decide().then((answer) => {
          contender.use?.(answer)
          latencies.push(performance.now() - startedAt)
        }),
      )
      dueAt += (-Math.log(1 - Math.random()) * 1000) / perSecond
    }
    await Promise.all(running)
    return running.length
  })
}

/** Medians over the rounds. */
export function summary(rounds: Figures[]): Figures {
  const of = (figure: keyof Figures) => median(rounds.map((round) => round[figure]))
  return {
    decisionsPerSecond: of('decisionsPerSecond'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    redisCpuUs: of('redisCpuUs'),
    clientCpuUs: of('clientCpuUs'),
  }
}

async function measure(redisCpu: RedisCpu, run: (latencies: number[]) => Promise<number>): Promise<Figures> {
  const latencies: number[] = []
  const redisBefore = await redisCpu()
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const count = await run(latencies)
  const seconds = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  const redisUsed = (await redisCpu()) - redisBefore
  return {
    decisionsPerSecond: count / seconds,
    p50Ms: at(latencies, 0.5),
    p99Ms: at(latencies, 0.99),
    redisCpuUs: redisUsed / count,
    clientCpuUs: (user + system) / count,
  }
}
