import { machine } from './benchmarks-page.ts'
import type { ScaledFleet } from './scale-fleets.ts'
import { median } from './statistics.ts'

/** Up to this ratio of CPU per request, most instances to least, it is said not to depend on their number. */
const evenWithin = 1.25

interface Figures {
  requestsPerSecond: number
  p50Ms: number
  p99Ms: number
  /** Microseconds of CPU per request; of all services together. */
  cpuUs: { gateway: number; services: number; redis: number }
}

export interface ScaleResult {
  fleet: ScaledFleet
  load: { traffic: string; inFlight: number; seconds: number }
  rounds: Figures[]
}

export interface Memory {
  instances: number
  startMs: number[]
  idleMiB: number[]
  gatewayMiB: number
  serviceMiB: number[]
}

/** Tables in Markdown, and what they say of how cost grows, worked out from them. */
export function report(run: { results: ScaleResult[]; memory: Memory[]; rounds: number; redis: string }): string {
  const { results, memory, rounds, redis } = run
  const starts = memory.flatMap(({ startMs }) => startMs)
  return [
    `Node ${process.version}, Redis ${redis}, ${machine()}, one machine for everything, for Gemini’s emulator (800 ms an answer) and for the`,
    `load, wrk; ${rounds} rounds in turn, medians of the rounds. One gateway before 1, 2 and 3 instances of text-generation. "cached" is`,
    '`GET /api/subtopics` for 64 topics in memory, "new" is `POST /api/create_subtopics` with a topic that nobody asked before. CPU is that of',
    'the gateway, of all services together and of Redis, per request; the emulator’s and wrk’s is not counted, but takes its part of the cores.',
    '',
    '| instances | traffic | in flight | requests/s | p50 ms | p99 ms | CPU µs per request | gateway | services | Redis |',
    '|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|',
    ...results.map(row),
    '',
    '| instances | gateway MiB after it all | service MiB at its start | service MiB after it all | ready after ms |',
    '|--:|--:|--:|--:|--:|',
    ...memory.map((one) => {
      const [idle, after, start] = [one.idleMiB, one.serviceMiB, one.startMs].map((values) => median(values).toFixed(0))
      return `| ${one.instances} | ${one.gatewayMiB.toFixed(0)} | ${idle} | ${after} | ${start} |`
    }),
    '',
    ...growth(results, memory, starts),
  ].join('\n')
}

function row({ fleet, load, rounds }: ScaleResult): string {
  const of = (pick: (round: Figures) => number) => median(rounds.map(pick))
  const cells = [
    fleet.instances,
    load.traffic,
    load.inFlight,
    Math.round(of((round) => round.requestsPerSecond)).toLocaleString('en'),
    of((round) => round.p50Ms).toFixed(1),
    of((round) => round.p99Ms).toFixed(1),
    of(whole).toFixed(0),
    ...(['gateway', 'services', 'redis'] as const).map((name) => of((round) => round.cpuUs[name]).toFixed(0)),
  ]
  return `| ${cells.join(' | ')} |`
}

/** How cost grows, in sentences: every figure in them is from the tables. */
function growth(results: ScaleResult[], memory: Memory[], starts: number[]): string[] {
  const cpu = (instances: number, traffic: string) => {
    const found = results.filter(({ fleet, load }) => fleet.instances === instances && load.traffic === traffic).at(-1)
    return median((found?.rounds ?? []).map(whole))
  }
  const [least, most] = [Math.min, Math.max].map((pick) => pick(...results.map(({ fleet }) => fleet.instances))) as [
    number,
    number,
  ]
  const [cached, made] = ['cached', 'new'].map((traffic) => cpu(most, traffic) / cpu(least, traffic)) as [
    number,
    number,
  ]
  const isEven = Math.max(cached, made) <= evenWithin
  const each = median(memory.flatMap(({ serviceMiB }) => serviceMiB)).toFixed(0)
  return [
    `How cost grows: with ${most} instances a cached request costs ${cached.toFixed(2)} times the CPU that it costs with ${least}, a new one ${made.toFixed(2)} times.`,
    isEven
      ? 'What a request costs hardly depends on how many instances there are: throughput grows with the cores that they are given, and on one'
      : 'So more instances make a request dearer here: throughput grows by less than the cores that they are given, and on one',
    `machine whose cores are busy, another instance adds none. Each adds its memory (${each} MiB under load) and is ready ${(median(starts) / 1000).toFixed(1)} s after its`,
    'start. What does not grow is the quota: all instances together may call Gemini as often as one alone.',
  ]
}

function whole({ cpuUs }: Figures): number {
  return cpuUs.gateway + cpuUs.services + cpuUs.redis
}
