import { machine } from './benchmarks-page.ts'
import { type Contender, pairs } from './cache-contenders.ts'
import { median, spread } from './statistics.ts'
import type { Figures } from './wrk.ts'

export interface Result {
  contender: Contender
  inFlight: number
  /** In the order in which they were taken; the same place is the same moment for every contender. */
  rounds: Figures[]
}

/** At most this much more CPU than the bare route behind the same gateway: issue 4. */
const bound = 1.5

const columns = ['edge', 'gateway', 'service', 'redis'] as const

/** Tables in Markdown: the figures, and the ratios to the bare route. */
export function report(results: Result[], run: { rounds: number; seconds: number; redis: string }): string {
  return [
    `Node ${process.version}, Redis ${run.redis}, ${machine()}, one machine for everything and for the load, wrk, whose CPU`,
    `does not count; ${run.rounds} rounds of ${run.seconds} s each, in turn; medians of the rounds. Each is \`GET /api/subtopics\` for 64 topics in`,
    'turn, asked of the edge (nginx) or of a gateway of its own. The bare route is bare Fastify behind the same gateway, with the',
    'same bytes and headers. "logging": with `LOG_LEVEL=info`, a line a request in the gateway and in text-generation, but none in',
    'the bare service; the others with `LOG_LEVEL=warn`. "±" is half the distance between the quartiles.',
    '',
    '| answer | in flight | requests/s | p50 ms | p99 ms | CPU µs per request | edge | gateway | service | Redis |',
    '|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
    ...results.map(figuresRow),
    '',
    'CPU of a request as a multiple of the bare route’s, round by round. "Whole path" is what is promised: gateway, service and',
    'Redis together. "Service alone" leaves out the gateway, which both have: it shows what text-generation itself adds to bare',
    'Fastify. Where the gateway’s own figure differs much between the two, the machine disturbed the run: it does the same for both.',
    '',
    '| CPU, memory hit ÷ bare route | `LOG_LEVEL` | in flight | asked for | measured | |',
    '|---|---|--:|--:|--:|---|',
    ...pairs.flatMap((pair) => [
      ...pair.loads.map((inFlight) => ratioRow('whole path', { results, pair, inFlight, of: whole, most: bound })),
      ...pair.loads.map((inFlight) => ratioRow('service alone', { results, pair, inFlight, of: service })),
    ]),
  ].join('\n')
}

function figuresRow({ contender, inFlight, rounds }: Result): string {
  const of = (pick: (round: Figures) => number) => rounds.map(pick)
  const rate = of((round) => round.requestsPerSecond)
  const perProcess = columns.map((name) =>
    name in contender.processes ? median(of((round) => round.cpuUs[name] ?? Number.NaN)).toFixed(0) : '',
  )
  const cells = [
    contender.name,
    inFlight,
    `${thousands(median(rate))} ± ${thousands(spread(rate))}`,
    median(of((round) => round.p50Ms)).toFixed(2),
    median(of((round) => round.p99Ms)).toFixed(1),
    `${median(of(whole)).toFixed(0)} ± ${spread(of(whole)).toFixed(0)}`,
    ...perProcess,
  ]
  return `| ${cells.join(' | ')} |`
}

interface Comparison {
  results: Result[]
  pair: (typeof pairs)[number]
  inFlight: number
  of: (round: Figures) => number
  most?: number
}

/** The ratio is taken round by round, so that what disturbs a round disturbs both sides of it. */
function ratioRow(what: string, { results, pair, inFlight, of, most }: Comparison): string {
  const roundsOf = (name: string) =>
    results.find((result) => result.contender.name === name && result.inFlight === inFlight)?.rounds ?? []
  const baseline = roundsOf(pair.bare).map(of)
  const ratios = roundsOf(pair.memoryHit).map((round, at) => of(round) / (baseline[at] ?? Number.NaN))
  const ratio = median(ratios)
  const verdict = most === undefined ? '' : ratio <= most ? 'kept' : 'MISSED'
  const asked = most === undefined ? '' : `≤ ${most} ×`
  return `| ${what} | ${pair.level} | ${inFlight} | ${asked} | ${ratio.toFixed(2)} ± ${spread(ratios).toFixed(2)} × | ${verdict} |`
}

function whole({ cpuUs }: Figures): number {
  return Object.values(cpuUs).reduce((sum, us) => sum + us, 0)
}

function service({ cpuUs }: Figures): number {
  return cpuUs.service ?? Number.NaN
}

function thousands(count: number): string {
  return Math.round(count).toLocaleString('en')
}
