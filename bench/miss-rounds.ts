import { progress } from './benchmark.ts'
import { forwarder, ofRound, type Path } from './miss-paths.ts'
import { median, spread } from './statistics.ts'
import { type Figures, load } from './wrk.ts'

export interface Result {
  path: Path
  /** In the order in which they were taken; the same place is the same moment for every path. */
  rounds: Figures[]
}

export const rounds = 9
export const inFlight = 32
export const seconds = 1
/** In less, V8 has not compiled all of the way yet. */
const warmUpSeconds = 5

/** The paths take turns, so that a busy machine is busy for all of them. */
export async function playRounds(list: Path[]): Promise<Result[]> {
  for (const path of list) await load(ofRound(path, 0), { inFlight, seconds: warmUpSeconds })
  const results = list.map((path): Result => ({ path, rounds: [] }))
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}`)
    for (const { path, rounds } of results) rounds.push(await load(ofRound(path, round), { inFlight, seconds }))
  }
  return results
}

/** Microseconds of CPU per request, of all processes of the path. */
export function wholeUs({ cpuUs }: Figures): number {
  return Object.values(cpuUs).reduce((sum, us) => sum + us, 0)
}

/** "median ± spread", half the distance between the quartiles. */
export function shown(values: number[], digits = 0): string {
  return `${median(values).toFixed(digits)} ± ${spread(values).toFixed(digits)}`
}

/** CPU as a multiple of another path's, round by round, so that what disturbs a round disturbs both sides of it. */
export function multiples(results: Result[], { rounds }: Result, of = forwarder): number[] {
  const others = results.find(({ path }) => path.name === of)?.rounds ?? []
  return rounds.map((round, at) => wholeUs(round) / wholeUs(others[at] as Figures))
}
