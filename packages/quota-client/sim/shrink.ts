import type { Outcome } from './outcome.ts'
import { endOf, lengths, type Schedule } from './schedule.ts'
import { type Stage, simulate } from './simulation.ts'

export interface Shrunk {
  schedule: Schedule
  outcome: Outcome
}

const mostPlays = 150

/** Leaves out all that the same kind of failure does not need: faults, loads, members, time. */
export async function shrink(schedule: Schedule, outcome: Outcome, stage: Stage): Promise<Shrunk> {
  const failure = outcome.failures[0]?.kind
  let best: Shrunk = { schedule, outcome }
  let plays = 0
  let hasShrunk = true
  while (hasShrunk && plays < mostPlays) {
    hasShrunk = false
    for (const smaller of smallerThan(best)) {
      if (++plays > mostPlays) break
      const tried = await simulate(smaller, stage)
      if (tried.living === 0 || !tried.failures.some(({ kind }) => kind === failure)) continue
      best = { schedule: smaller, outcome: tried }
      hasShrunk = true
      break
    }
  }
  return best
}

function* smallerThan({ schedule, outcome }: Shrunk): Generator<Schedule> {
  const { faults, loads, members, untilMs, configuration } = schedule
  const failedMs = outcome.failures[0]?.atMs ?? untilMs
  const isMissing = outcome.failures[0]?.kind === 'no recovery' || outcome.failures[0]?.kind === 'under-used'
  if (!isMissing && failedMs + 100 < untilMs) yield { ...schedule, untilMs: failedMs + 100 }
  if (!isMissing || faults.length > 1)
    for (const at of faults.keys()) yield { ...schedule, faults: faults.toSpliced(at, 1) }
  if (!isMissing) for (const at of loads.keys()) yield { ...schedule, loads: loads.toSpliced(at, 1) }
  if (members.length > 1) for (const at of members.keys()) yield { ...schedule, members: members.toSpliced(at, 1) }
  const idleMs = untilMs - Math.max(0, ...faults.map(endOf)) - lengths(configuration).holdMs
  if (schedule.promises.used > 0 && idleMs > configuration.windowMs)
    yield { ...schedule, untilMs: untilMs - configuration.windowMs }
}
