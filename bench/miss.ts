// npm run bench:miss: what an uncached answer costs, beside a bare forwarder to the same stub of Gemini; what a service takes
// at its start and after many misses; what an idle gateway takes. With --write the section in docs/benchmarks.md is replaced.
// Needs wrk and redis-server.
import { setTimeout as sleep } from 'node:timers/promises'
import { processForTest, type TestContext, type TestProcess } from '@knowalledge/testing'
import { benchmark, progress } from './benchmark.ts'
import { forwarder, missPaths, ofRound, type Path, system } from './miss-paths.ts'
import { type Extras, report } from './miss-report.ts'
import { inFlight, playRounds } from './miss-rounds.ts'
import { cpuUs, pidOf, residentMiB } from './process-figures.ts'
import { load } from './wrk.ts'

const starts = 3
const misses = 12_000
const cacheMegabytes = 64
const idleSeconds = 10
/** What Node chooses in a container of 384 MB, as Compose gives a service, and what the images add. */
const nodeInContainer = '--max-old-space-size=259 --max-semi-space-size=16'

await benchmark({ name: 'miss', title: 'Misses', needs: ['wrk', 'redis-server'], run })

async function run(t: TestContext): Promise<string> {
  const { list, startService } = await missPaths(t, [forwarder, system])
  const results = await playRounds(list)
  const started = await startUp(startService)
  progress(`${misses} misses of one service`)
  const filled = await startService({ CACHE_MAX_MEGABYTES: String(cacheMegabytes), NODE_OPTIONS: nodeInContainer })
  const afterMissesMiB = await fill(filled, list)
  const idlePercent = await idle(t)
  return report(results, { ...started, misses, cacheMegabytes, afterMissesMiB, idlePercent })
}

async function startUp(
  startService: () => Promise<TestProcess>,
): Promise<Pick<Extras, 'readyMs' | 'startCpuMs' | 'startMiB'>> {
  const [readyMs, startCpuMs, startMiB]: [number[], number[], number[]] = [[], [], []]
  for (let start = 1; start <= starts; start++) {
    progress(`start ${start} of ${starts}`)
    const sinceMs = performance.now()
    const service = await startService()
    readyMs.push(performance.now() - sinceMs)
    startCpuMs.push(cpuUs(pidOf(service)) / 1000)
    startMiB.push(residentMiB(pidOf(service)))
    await service.stop()
  }
  return { readyMs, startCpuMs, startMiB }
}

/** Resident memory after the misses, all of them different. */
async function fill(service: TestProcess, list: Path[]): Promise<number> {
  const path = { ...(list.at(-1) as Path), url: `${service.url}/api/create_subtopics`, processes: {} }
  for (let [round, done] = [1_000, 0]; done < misses; round++)
    done += (await load(ofRound(path, round), { inFlight, seconds: 2 })).requests
  return residentMiB(pidOf(service))
}

/** Per cent of a core that a gateway takes with three services of three instances each and nothing to do. */
async function idle(t: TestContext): Promise<number> {
  progress(`an idle gateway for ${idleSeconds} s`)
  // Each loopback address counts as an instance, and they all are one process.
  const instances = await processForTest(t, 'bench/bare-upstream.ts', { readyPath: '/', env: { HOST: '0.0.0.0' } })
  const { port } = new URL(instances.url)
  const urls = (from: number) => [from, from + 1, from + 2].map((n) => `http://127.0.0.${n}:${port}`).join(',')
  const env = {
    TEXT_GENERATION_URL: urls(1),
    VISION_URL: urls(4),
    IMAGE_GENERATION_URL: urls(7),
    REDIS_ENABLED: 'false',
  }
  const gateway = pidOf(await processForTest(t, 'gateway/src/server.ts', { env }))
  await sleep(3_000) // until V8 has compiled what it compiles
  const before = cpuUs(gateway)
  await sleep(idleSeconds * 1000)
  return (cpuUs(gateway) - before) / (idleSeconds * 10_000)
}
