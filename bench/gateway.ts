// npm run bench:gateway: what a proxy costs: nginx, bare @fastify/http-proxy and this gateway, each before the same
// upstream, in one run. They take turns, so that a busy machine is busy for all of them. With --write the section in
// docs/benchmarks.md is replaced. Needs wrk, nginx and redis-server.
import type { TestContext } from '@knowalledge/testing'
import { benchmark, progress } from './benchmark.ts'
import { type Door, doors } from './gateway-doors.ts'
import { type Result, report } from './gateway-report.ts'
import { type LoadOptions, load } from './wrk.ts'

const rounds = 11
const seconds = 1
/** So many keys that each has one to five requests a second at the rate that such a load reaches. */
const loads = [
  { inFlight: 1, keyCount: 1_000 },
  { inFlight: 16, keyCount: 3_000 },
]
/** In less, V8 has not compiled all of the way yet. */
const warmUp = { inFlight: 16, seconds: 6 }

await benchmark({ name: 'gateway', title: 'Gateway', needs: ['wrk', 'nginx', 'redis-server'], run })

async function run(t: TestContext): Promise<string> {
  const { list, keys } = await doors(t, Math.max(...loads.map(({ keyCount }) => keyCount)))
  return report(await compare(list, keys), { rounds, seconds })
}

async function compare(list: Door[], keys: string[]): Promise<Result[]> {
  for (const door of list) await measure(door, { ...warmUp, keys })
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

function measure({ name, url, processes }: Door, { keys, inFlight, seconds }: LoadOptions & { keys: string[] }) {
  return load({ name, url, processes, script: 'gateway-load.lua', given: keys }, { inFlight, seconds })
}
