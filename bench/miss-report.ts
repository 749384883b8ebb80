import { machine } from './benchmarks-page.ts'
import { inFlight, multiples, type Result, rounds, seconds, shown, wholeUs } from './miss-rounds.ts'
import { median } from './statistics.ts'

/** What is measured beside the rounds. */
export interface Extras {
  /** Of each start, from the start of the process until it is ready. */
  readyMs: number[]
  startCpuMs: number[]
  startMiB: number[]
  misses: number
  cacheMegabytes: number
  afterMissesMiB: number
  idlePercent: number
}

/** Issue 18. */
const bounds = { multiple: 5, afterMissesMiB: 250, idlePercent: 1 }

const columns = ['gateway', 'service', 'redis'] as const

/** Tables in Markdown: the figures, and what is asked for. */
export function report(results: Result[], extras: Extras): string {
  const miss = results.at(-1) as Result
  const multiple = multiples(results, miss)
  const { misses, cacheMegabytes, afterMissesMiB, idlePercent } = extras
  return [
    `Node ${process.version}, ${machine()}, one machine for everything and for the load, wrk; ${rounds} rounds of ${seconds} s each, in turn; medians of`,
    `the rounds. Each is \`POST /api/create_subtopics\` with a topic that nobody asked before, ${inFlight} in flight. Gemini is a stub that answers 20 ms`,
    'after its request; its CPU and wrk’s do not count. "±" is half the distance between the quartiles.',
    '',
    '| path | requests/s | p50 ms | p99 ms | CPU µs per request | gateway | service | Redis |',
    '|---|--:|--:|--:|--:|--:|--:|--:|',
    ...results.map(row),
    '',
    '| | asked for | measured | |',
    '|---|--:|--:|---|',
    promise('CPU of a miss ÷ bare forwarder', [bounds.multiple, median(multiple)], {
      unit: '×',
      text: `${shown(multiple, 2)} ×`,
    }),
    promise(
      `service after ${misses.toLocaleString('en')} different misses, \`CACHE_MAX_MEGABYTES=${cacheMegabytes}\`, heap as in a container of 384 MB`,
      [bounds.afterMissesMiB, afterMissesMiB],
      { unit: 'MiB', text: `${afterMissesMiB.toFixed(0)} MiB` },
    ),
    promise('idle gateway with nine instances, of a core', [bounds.idlePercent, idlePercent], {
      unit: '%',
      text: `${idlePercent.toFixed(2)} %`,
    }),
    `| start of a service from its sources: ready after | | ${shown(extras.readyMs)} ms | |`,
    `| CPU until then | | ${shown(extras.startCpuMs)} ms | |`,
    `| resident memory then | | ${shown(extras.startMiB)} MiB | |`,
  ].join('\n')
}

function row({ path, rounds }: Result): string {
  const cells = [
    path.name,
    Math.round(median(rounds.map((round) => round.requestsPerSecond))).toLocaleString('en'),
    median(rounds.map((round) => round.p50Ms)).toFixed(1),
    median(rounds.map((round) => round.p99Ms)).toFixed(1),
    shown(rounds.map(wholeUs)),
    ...columns.map((name) =>
      name in path.processes ? median(rounds.map(({ cpuUs }) => cpuUs[name] ?? Number.NaN)).toFixed(0) : '',
    ),
  ]
  return `| ${cells.join(' | ')} |`
}

function promise(what: string, [most, measured]: [number, number], { unit, text }: { unit: string; text: string }) {
  return `| ${what} | ≤ ${most} ${unit} | ${text} | ${measured <= most ? 'kept' : 'MISSED'} |`
}
