import { machine } from './benchmarks-page.ts'
import type { Contender } from './quota-contenders.ts'
import { type Figures, summary } from './quota-measure.ts'
import { median } from './statistics.ts'

export interface Result {
  contender: Contender
  load: string
  rounds: Figures[]
}

interface Promised {
  what: string
  ours: [name: string, load: string]
  theirs: [name: string, load: string]
  figure: 'decisionsPerSecond' | 'p50Ms'
  /** The least ratio of decisions, or the most of latencies. */
  bound: number
}

const ours = 'quota-client'
const settling = 'quota-client, reserve + settle'
const flexible = 'rate-limiter-flexible, four limits one by one'
const one = '1 in flight'
const few = '64 in flight'
const many = '256 in flight'
const promises: Promised[] = [
  { what: 'single calls', ours: [ours, one], theirs: [flexible, one], figure: 'decisionsPerSecond', bound: 3 },
  { what: '64 in flight', ours: [ours, few], theirs: [flexible, few], figure: 'decisionsPerSecond', bound: 15 },
  { what: '256 in flight', ours: [ours, many], theirs: [flexible, many], figure: 'decisionsPerSecond', bound: 40 },
  {
    what: 'reserve + settle, 64 in flight',
    ours: [settling, few],
    theirs: [flexible, few],
    figure: 'decisionsPerSecond',
    bound: 15,
  },
  {
    what: 'p50 of the open loop to p50 of single calls',
    ours: [ours, 'open loop, 5000 arrivals/s'],
    theirs: [ours, one],
    figure: 'p50Ms',
    bound: 1.2,
  },
]

/** Tables in Markdown: the figures, and the ratios that issue and design ask for. */
export function report(results: Result[], run: { rounds: number; roundMs: number; redis: string }): string {
  return [
    `Node ${process.version}, Redis ${run.redis}, ${machine()}, one machine for both; ${run.rounds} rounds of`,
    `${run.roundMs} ms each, in turn; medians of the rounds. A decision is one request of 100 tokens, granted.`,
    '',
    '| contender | load | decisions/s | p50 ms | p99 ms | Redis CPU µs | client CPU µs |',
    '|---|---|--:|--:|--:|--:|--:|',
    ...results.map(figuresRow),
    '',
    '| promise | asked for | measured | |',
    '|---|--:|--:|---|',
    ...promises.map((promise) => promiseRow(promise, results)),
  ].join('\n')
}

function figuresRow({ contender, load, rounds }: Result): string {
  const { decisionsPerSecond, p50Ms, p99Ms, redisCpuUs, clientCpuUs } = summary(rounds)
  const inRedis = contender.name.includes('memory') ? '' : redisCpuUs.toFixed(1)
  const rate = Math.round(decisionsPerSecond).toLocaleString('en')
  return `| ${contender.name} | ${load} | ${rate} | ${p50Ms.toFixed(3)} | ${p99Ms.toFixed(3)} | ${inRedis} | ${clientCpuUs.toFixed(1)} |`
}

/** The ratio is taken round by round, so that what disturbs a round disturbs both sides of it. */
function promiseRow({ what, ours, theirs, figure, bound }: Promised, results: Result[]): string {
  const roundsOf = ([name, load]: [string, string]) =>
    results.find((result) => result.contender.name === name && result.load === load)?.rounds ?? []
  const others = roundsOf(theirs)
  const ratio = median(roundsOf(ours).map((round, at) => round[figure] / (others[at]?.[figure] ?? Number.NaN)))
  const isLatency = figure === 'p50Ms'
  const kept = isLatency ? ratio <= bound : ratio >= bound
  return `| ${what} | ${isLatency ? '≤' : '≥'} ${bound} × | ${ratio.toFixed(isLatency ? 2 : 1)} × | ${kept ? 'kept' : 'MISSED'} |`
}
