// npm run bench:peers: what it costs to get an answer of Gemini's, which is a stub here, through bare proxies, Portkey's
// open-source gateway and this system. With --write the section in docs/benchmarks.md is replaced. Needs wrk and redis-server.
import type { TestContext } from '@knowalledge/testing'
import { benchmark } from './benchmark.ts'
import { machine } from './benchmarks-page.ts'
import { forwarder, missPaths, portkey, proxy, system } from './miss-paths.ts'
import { inFlight, multiples, playRounds, type Result, rounds, seconds, shown, wholeUs } from './miss-rounds.ts'
import { median } from './statistics.ts'

/** At most this multiple of Portkey's plain proxying: issue 18. */
const bound = 2

await benchmark({ name: 'peers', title: 'Peers', needs: ['wrk', 'redis-server'], run })

async function run(t: TestContext): Promise<string> {
  const { list } = await missPaths(t, [forwarder, proxy, portkey, system])
  return report(await playRounds(list))
}

function report(results: Result[]): string {
  const last = results.at(-1) as Result
  const ratios = multiples(results, last, portkey)
  const verdict = median(ratios) <= bound ? 'kept' : 'MISSED'
  return [
    `Node ${process.version}, ${machine()}, one machine for everything and for the load, wrk; ${rounds} rounds of ${seconds} s each, in turn, with ${inFlight} requests`,
    'in flight, each with a question that nobody asked before; medians of the rounds. All get the answer, 15 subtopics, from the same stub of',
    'Gemini, 20 ms after its request. CPU is that of all processes between client and stub. "±" is half the distance between the quartiles.',
    '',
    '| path | what it does with a request | requests/s | p50 ms | CPU µs per request | ÷ bare forwarder |',
    '|---|---|--:|--:|--:|--:|',
    ...results.map((result) => row(results, result)),
    '',
    `A miss of this system costs ${shown(ratios, 2)} times the CPU of Portkey’s proxying (asked for: ≤ ${bound}; ${verdict}).`,
  ].join('\n')
}

function row(results: Result[], result: Result): string {
  const { path, rounds } = result
  const cells = [
    path.name,
    path.does,
    Math.round(median(rounds.map((round) => round.requestsPerSecond))).toLocaleString('en'),
    median(rounds.map((round) => round.p50Ms)).toFixed(1),
    shown(rounds.map(wholeUs)),
    `${shown(multiples(results, result), 2)} ×`,
  ]
  return `| ${cells.join(' | ')} |`
}
