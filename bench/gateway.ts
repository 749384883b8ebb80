// npm run bench:gateway: what a proxy costs: nginx, bare @fastify/http-proxy and this gateway, each before the same
// upstream, in one run. They take turns, so that a busy machine is busy for all of them. With --write the section in
// docs/benchmarks.md is replaced. Needs wrk, nginx and redis-server.
import type { TestContext } from '@knowalledge/testing'
import { benchmark, progress } from './benchmark.ts'
import { type Door, doors, everythingOn } from './gateway-doors.ts'
import { type Result, report } from './gateway-report.ts'
import { type LoadOptions, load } from './wrk.ts'

const rounds = 11
const seconds = 1
const inFlights = [1, 16]
/** Of a key on average, which is one to five for each; see gateway-load.lua. */
const requestsPerSecondOfKey = 3
const mostKeys = 4_000
/** In less, V8 has not compiled all of the way yet. */
const warmUp = { inFlight: 16, seconds: 6 }

await benchmark({ name: 'gateway', title: 'Gateway', needs: ['wrk', 'nginx', 'redis-server'], run })

async function run(t: TestContext): Promise<string> {
  const { list, keys } = await doors(t, mostKeys)
  return report(await compare(list, keys), { rounds, seconds })
}

async function compare(list: Door[], keys: string[]): Promise<Result[]> {
  for (const door of list) await measure(door, { ...warmUp, keys })
  const loads: { inFlight: number; keyCount: number }[] = []
  for (const inFlight of inFlights) loads.push({ inFlight, keyCount: await keyCountFor(list, inFlight, keys) })
  const results = list.flatMap((door) => loads.map((load): Result => ({ door, ...load, rounds: [] })))
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`)
    for (const { door, inFlight, keyCount, rounds } of results) {
      const load = { inFlight, seconds, keys: keys.slice(0, keyCount) }
      await measure(door, load) // a process that has idled while the others were loaded is not at its pace
      rounds.push(await measure(door, load))
    }
  }
  return results
}

/** So many that each has its rate at the pace that the gateway has on this machine. */
async function keyCountFor(list: Door[], inFlight: number, keys: string[]): Promise<number> {
  const gateway = list.find(({ name }) => name === everythingOn) as Door
  const pace = { inFlight, seconds: 2, keys: keys.slice(0, 500) }
  const { requestsPerSecond } = await measure(gateway, pace)
  return Math.min(keys.length, Math.ceil(requestsPerSecond / requestsPerSecondOfKey))
}

function measure({ name, url, processes }: Door, { keys, inFlight, seconds }: LoadOptions & { keys: string[] }) {
  return load({ name, url, processes, script: 'gateway-load.lua', given: keys }, { inFlight, seconds })
}
