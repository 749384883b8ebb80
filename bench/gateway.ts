// npm run bench:gateway: what a proxy costs: nginx, bare @fastify/http-proxy and this gateway, each before the same
// upstream, in one run. They take turns, so that a busy machine is busy for all of them. With --write the section in
// docs/benchmarks.md is replaced. Needs wrk, nginx and redis-server.
import { writeSection } from './benchmarks-page.ts'
import { type Door, doors } from './gateway-doors.ts'
import { type Result, report } from './gateway-report.ts'
import { type Figures, load } from './wrk.ts'

const rounds = 11
const seconds = 1
const loads = [1, 16]
/** In less, V8 has not compiled all of the way yet. */
const warmUp = { inFlight: 16, seconds: 6 }

const cleanUps: (() => unknown)[] = []
try {
  const list = await doors({ teardown: (cleanUp) => cleanUps.push(cleanUp) })
  const text = report(await compare(list), { rounds, seconds })
  console.log(text)
  if (process.argv.includes('--write')) writeSection({ name: 'gateway', title: 'Gateway' }, text)
} finally {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp()
}

async function compare(list: Door[]): Promise<Result[]> {
  for (const door of list) await measure(door, warmUp)
  const results = list.flatMap((door) => loads.map((inFlight): Result => ({ door, inFlight, rounds: [] })))
  for (let round = 0; round < rounds; round++)
    for (const { door, inFlight, rounds } of results) {
      await measure(door, { inFlight, seconds: 1 }) // a process that has idled while the others were loaded is not at its pace
      rounds.push(await measure(door, { inFlight, seconds }))
    }
  return results
}

function measure(
  { name, url, headers, processes }: Door,
  options: { inFlight: number; seconds: number },
): Promise<Figures> {
  const given = Object.entries(headers).map(([header, value]) => `${header}=${value}`)
  return load({ name, url, processes, script: 'gateway-load.lua', given }, options)
}
