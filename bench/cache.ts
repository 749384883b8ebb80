// npm run bench:cache: what a cached answer costs, from memory, Redis and the edge, through the real processes, beside a
// bare Fastify route behind the same gateway, in one run. They take turns, so that a busy machine is busy for all of them.
// With --write the section in docs/benchmarks.md is replaced. Needs wrk, nginx and redis-server.
import type { TestContext } from '@knowalledge/testing'
import { benchmark, progress } from './benchmark.ts'
import { type Contender, contenders } from './cache-contenders.ts'
import { measure } from './cache-measure.ts'
import { type Result, report } from './cache-report.ts'

const rounds = 5
const seconds = 1
/** Share of answers. On a busy machine Redis is late at times, and the last answer of a round may be the first of the next. */
const mostStrays = 0.01
/** In less, V8 has not compiled all of the way yet. */
const warmUp = { inFlight: 16, seconds: 3 }

await benchmark({ name: 'cache', title: 'Cache', needs: ['wrk', 'nginx', 'redis-server'], run })

async function run(t: TestContext): Promise<string> {
  const { list, redis } = await contenders(t)
  return report(await compare(list), { rounds, seconds, redis })
}

async function compare(list: Contender[]): Promise<Result[]> {
  for (const contender of list) if (contender.processes.service) await measure(contender, warmUp)
  const straysBefore = await Promise.all(list.map((contender) => contender.strays()))
  const results = list.flatMap((contender) =>
    contender.loads.map((inFlight): Result => ({ contender, inFlight, rounds: [] })),
  )
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`)
    for (const { contender, inFlight, rounds } of results) rounds.push(await measure(contender, { inFlight, seconds }))
  }
  for (const [at, contender] of list.entries()) {
    const strays = (await contender.strays()) - (straysBefore[at] ?? 0)
    const own = results.filter((result) => result.contender === contender).flatMap((result) => result.rounds)
    const share = strays / own.reduce((sum, round) => sum + round.requests, 0)
    if (share > mostStrays) throw new Error(`${contender.name}: ${strays} answers came from elsewhere`)
  }
  return results
}
