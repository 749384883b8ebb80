import { machine } from './benchmarks-page.ts'
import { bareDoor, type Door, everythingOn } from './gateway-doors.ts'
import { median, spread } from './statistics.ts'
import type { Figures } from './wrk.ts'

export interface Result {
  door: Door
  inFlight: number
  keyCount: number
  /** In the order in which they were taken; the same place is the same moment for every door. */
  rounds: Figures[]
}

/** At most this much more CPU than bare @fastify/http-proxy: issue 5. */
const bound = 1.3

/** Tables in Markdown: the figures, and the ratios to the bare proxy. */
export function report(results: Result[], run: { rounds: number; seconds: number }): string {
  return [
    `Node ${process.version}, ${machine()}, one machine for everything and for the load, wrk, whose CPU does not count;`,
    `${run.rounds} rounds of ${run.seconds} s each, in turn, each after one that does not count; medians of the rounds. Each is \`POST /api/create_subtopics\` with a small body, passed on`,
    'to a bare `node:http` upstream that answers 1 KB at once. "Everything on": keys of tenants, rate limits in Redis, CORS, security',
    'headers, metrics, limits of bodies, requests and connections, a log line a request. "±" is half the distance between the quartiles.',
    `The requests come from ${countsOf(results)} keys in turn, so that each has about one to five a second.`,
    '',
    '| door | in flight | requests/s | p50 ms | p99 ms | CPU µs per request | Redis |',
    '|---|--:|--:|--:|--:|--:|--:|',
    ...results.map(figuresRow),
    '',
    'CPU of a request in the gateway’s process as a multiple of the bare proxy’s, round by round.',
    '',
    '| CPU ÷ bare @fastify/http-proxy | in flight | asked for | measured | |',
    '|---|--:|--:|--:|---|',
    ...results.filter(({ door }) => door.name !== bareDoor).map((result) => ratioRow(result, results)),
  ].join('\n')
}

/** "1,000 (1 in flight) and 3,000 (16 in flight)". */
function countsOf(results: Result[]): string {
  const counts = results.map(({ inFlight, keyCount }) => `${keyCount.toLocaleString('en')} (${inFlight} in flight)`)
  return [...new Set(counts)].join(' and ')
}

function figuresRow({ door, inFlight, rounds }: Result): string {
  const of = (pick: (round: Figures) => number) => rounds.map(pick)
  const cpu = of(doorUs)
  const cells = [
    door.name,
    inFlight,
    Math.round(median(of((round) => round.requestsPerSecond))).toLocaleString('en'),
    median(of((round) => round.p50Ms)).toFixed(2),
    median(of((round) => round.p99Ms)).toFixed(1),
    `${median(cpu).toFixed(0)} ± ${spread(cpu).toFixed(0)}`,
    door.processes.redis === undefined ? '' : median(of(({ cpuUs }) => cpuUs.redis ?? Number.NaN)).toFixed(0),
  ]
  return `| ${cells.join(' | ')} |`
}

/** The ratio is taken round by round, so that what disturbs a round disturbs both sides of it. */
function ratioRow({ door, inFlight, rounds }: Result, results: Result[]): string {
  const bare = results.find((other) => other.door.name === bareDoor && other.inFlight === inFlight)?.rounds ?? []
  const ratios = rounds.map((round, at) => doorUs(round) / doorUs(bare[at] as Figures))
  const ratio = median(ratios)
  const isPromised = door.name === everythingOn
  const verdict = isPromised ? (ratio <= bound ? 'kept' : 'MISSED') : ''
  const asked = isPromised ? `≤ ${bound} ×` : ''
  return `| ${door.name} | ${inFlight} | ${asked} | ${ratio.toFixed(2)} ± ${spread(ratios).toFixed(2)} × | ${verdict} |`
}

function doorUs({ cpuUs }: Figures): number {
  return cpuUs.door ?? Number.NaN
}
