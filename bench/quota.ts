// npm run bench:quota: how fast the shared quota decides, beside rate-limiter-flexible and bare ioredis, in one run on
// one Redis that it starts itself. The contenders take turns, so that a busy machine is busy for all of them.
// With --write the section in docs/benchmarks.md is replaced.
import { setTimeout } from 'node:timers/promises'
import { redisServerForTest, type TestContext, type TestRedisServer } from '@knowalledge/testing'
import { benchmark, progress } from './benchmark.ts'
import { contenders, disturbances } from './quota-contenders.ts'
import { closedLoop, type Figures, openLoop } from './quota-measure.ts'
import { type Result, report } from './quota-report.ts'

const rounds = 9
const roundMs = 400
const arrivalsPerSecond = 5000

await benchmark({ name: 'quota', title: 'Quota', needs: ['redis-server'], run })

async function run(t: TestContext): Promise<string> {
  const server = await redisServerForTest(t)
  const admin = server.connect()
  const redisCpuUs = () => cpuOf(admin)
  const { list, close } = contenders(server)
  const results: Result[] = list.map((contender) => ({
    contender,
    load: `${contender.inFlight} in flight`,
    rounds: [],
  }))
  for (const { contender } of results) await closedLoop(contender, roundMs / 2, redisCpuUs) // to warm up, not counted

  const single = results.find(({ contender }) => contender.inFlight === 1)
  if (single === undefined) throw new Error('the open loop is compared with single calls')
  const open: Result = { ...single, load: `open loop, ${arrivalsPerSecond} arrivals/s`, rounds: [] }
  for (let round = 0; round < rounds; round++) {
    progress(`round ${round + 1} of ${rounds}`)
    // Each round begins with another one: whoever comes after the open loop finds the machine in another state.
    for (const result of [...results.slice(round), ...results.slice(0, round)])
      result.rounds.push(await undisturbed(() => closedLoop(result.contender, roundMs, redisCpuUs)))
    open.rounds.push(
      await undisturbed(() => openLoop(open.contender, { forMs: roundMs, perSecond: arrivalsPerSecond }, redisCpuUs)),
    )
  }
  await close()
  const version = /redis_version:(\S+)/.exec(await admin.info('server'))?.[1] ?? 'unknown'
  return report([...results, open], { rounds, roundMs, redis: version })
}

/** A round in which Redis answered every call; a client that missed one refuses until its next heartbeat. */
async function undisturbed(play: () => Promise<Figures>): Promise<Figures> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const before = disturbances.count
    const figures = await play()
    if (disturbances.count === before) return figures
    await setTimeout(1500) // until its next heartbeat is answered
  }
  throw new Error('this machine is too busy: in five rounds in a row a call of Redis was not answered in time')
}

async function cpuOf(redis: ReturnType<TestRedisServer['connect']>): Promise<number> {
  const info = await redis.info('cpu')
  const seconds = (name: string) => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)?.[1])
  return (seconds('used_cpu_sys') + seconds('used_cpu_user')) * 1e6
}
