// npm run bench:streams: 2,000 presentations wait in line at once, by server-sent events, at one gateway before two instances of
// text-generation: what each takes of memory and CPU, and what becomes of them when the instances are restarted one after the
// other. --streams 500 plays fewer. With --write the section in docs/benchmarks.md is replaced. Needs redis-server.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { benchmark, progress } from './benchmark.ts'
import { cpuUs, pidOf, residentMiB } from './process-figures.ts'
import { Audience } from './streams-audience.ts'
import { collectGarbage, StreamsFleet } from './streams-fleet.ts'
import { report } from './streams-report.ts'

const { values } = parseArgs({ options: { streams: { type: 'string', default: '2000' }, write: { type: 'boolean' } } })
const streams = Number(values.streams)
const explanations = 4
/** Until then nothing starts: long enough for all to line up and to be measured. */
const pauseMs = 60_000 + streams * 90
const idleMs = 20_000

await benchmark({
  name: 'streams',
  title: 'Waiting streams',
  needs: ['redis-server'],
  async run(t) {
    const fleet = await StreamsFleet.start(t)
    const startsMs = await fleet.pause(pauseMs)
    const warmUp = new Audience(fleet.url, { streams: 100, explanations, topic: 'Warm-up' })
    await warmUp.lineUp()
    await warmUp.leave()
    await sleep(2_000)
    const before = await memory(fleet)
    const audience = new Audience(fleet.url, { streams, explanations, topic: 'Topic' })
    const beganMs = performance.now()
    await audience.lineUp()
    const lineUpMs = performance.now() - beganMs
    progress(`${streams} streams wait`)
    await sleep(5_000)
    const used = cpu(fleet)
    await sleep(idleMs)
    const idle = subtract(cpu(fleet), used)
    const grown = subtract(await memory(fleet), before)
    if (Date.now() > startsMs) throw new Error('this machine is too busy: the pause was over before all was measured')
    let endedInTime = 0
    for (const which of [0, 1] as const) {
      await audience.hasItems((which + 1) / 4)
      progress(`restarting instance ${which + 1}`)
      if (await fleet.restart(which)) endedInTime++
    }
    await audience.hasItems(1)
    return report({
      streams,
      explanations,
      lineUpMs,
      idlePercent: mapValues(idle, (us) => us / 10 / idleMs),
      kibEach: mapValues(grown, (mib) => (mib * 1024) / streams),
      endedInTime,
      calls: await fleet.calls(),
      ...audience.outcome(),
    })
  },
})

function cpu({ gateway, services, redis }: StreamsFleet) {
  return {
    gateway: cpuUs(pidOf(gateway)),
    services: sum(services, (it) => cpuUs(pidOf(it))),
    redis: cpuUs(pidOf(redis)),
  }
}

async function memory({ gateway, services }: StreamsFleet) {
  for (const process of [gateway, ...services]) await collectGarbage(process)
  return { gateway: residentMiB(pidOf(gateway)), services: sum(services, (it) => residentMiB(pidOf(it))) }
}

function sum<T>(list: T[], figure: (it: T) => number): number {
  return list.reduce((total, it) => total + figure(it), 0)
}

function mapValues<K extends string>(of: Record<K, number>, change: (value: number, name: K) => number) {
  const changed = Object.entries<number>(of).map(([name, value]) => [name, change(value, name as K)])
  return Object.fromEntries(changed) as Record<K, number>
}

function subtract<K extends string>(after: Record<K, number>, before: Record<K, number>): Record<K, number> {
  return mapValues(after, (value, name) => value - before[name])
}
