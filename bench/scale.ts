// npm run bench:scale: what a request costs, cached and not, with one, two and three instances of text-generation behind
// one gateway, Gemini simulated at 800 ms. The fleets take turns, so that a busy machine is busy for all of them.
// With --write the section in docs/benchmarks.md is replaced. Needs wrk and redis-server.
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestContext } from '@knowalledge/testing'
import { benchmark, progress } from './benchmark.ts'
import { paths } from './cache-questions.ts'
import { cpuUs, pidOf, residentMiB } from './process-figures.ts'
import { type ScaledFleet, scaledFleets } from './scale-fleets.ts'
import { report, type ScaleResult } from './scale-report.ts'
import { run } from './wrk.ts'

const sizes = [1, 2, 3]
const rounds = 5
const cachedSeconds = 1
/** Five times the latency, so that what is cut off at both ends matters little. */
const uncachedSeconds = 4

let words = 0
const loads = [
  { traffic: 'cached', inFlight: 16, seconds: cachedSeconds, script: 'cache-load.lua', with: () => paths },
  {
    traffic: 'new',
    inFlight: 64,
    seconds: uncachedSeconds,
    script: 'post-load.lua',
    with: () => [`{"topic":"topic-${++words} %d"}`],
  },
  {
    traffic: 'new',
    inFlight: 256,
    seconds: uncachedSeconds,
    script: 'post-load.lua',
    with: () => [`{"topic":"topic-${++words} %d"}`],
  },
] as const

await benchmark({ name: 'scale', title: 'Scale', needs: ['wrk', 'redis-server'], run: compare })

async function compare(t: TestContext): Promise<string> {
  const { fleets, redis } = await scaledFleets(t, sizes)
  for (const fleet of fleets) for (const load of loads) await measure(fleet, load) // to warm up, not counted
  const results = fleets.flatMap((fleet) => loads.map((load): ScaleResult => ({ fleet, load, rounds: [] })))
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`)
    for (const { fleet, load, rounds } of results) rounds.push(await measure(fleet, load as (typeof loads)[number]))
  }
  const memory = fleets.map(({ instances, processes, startMs, idleMiB }) => ({
    instances,
    startMs,
    idleMiB,
    gatewayMiB: residentMiB(pidOf(processes.gateway)),
    serviceMiB: processes.services.map((service) => residentMiB(pidOf(service))),
  }))
  return report({ results, memory, rounds, redis })
}

/** A round in which everything was answered: when the machine stalls for 50 ms, instances keep to their share of the quota. */
async function measure(fleet: ScaledFleet, load: (typeof loads)[number]): Promise<ScaleResult['rounds'][number]> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const figures = await measureOnce(fleet, load)
    if (figures !== undefined) return figures
    await sleep(5_000) // until they decide with Redis again
  }
  throw new Error('this machine is too busy: in ten rounds on end some requests were not answered')
}

async function measureOnce(fleet: ScaledFleet, load: (typeof loads)[number]) {
  const used = () => ({
    gateway: cpuUs(pidOf(fleet.processes.gateway)),
    services: fleet.processes.services.reduce((sum, service) => sum + cpuUs(pidOf(service)), 0),
    redis: cpuUs(fleet.redisPid),
  })
  const before = used()
  const done = await run(`${fleet.url}/api/create_subtopics`, { ...load, given: load.with() })
  const after = used()
  if (done.failed > 0) return undefined
  const each = (name: keyof typeof before) => (after[name] - before[name]) / done.requests
  return {
    requestsPerSecond: done.requests / (done.durationUs / 1e6),
    p50Ms: done.p50Us / 1000,
    p99Ms: done.p99Us / 1000,
    cpuUs: { gateway: each('gateway'), services: each('services'), redis: each('redis') },
  }
}
