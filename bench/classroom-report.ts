import { machine } from './benchmarks-page.ts'
import {
  type ClassResult,
  explanations,
  latencyMs,
  learners,
  type Manner,
  maxStreamWaitSeconds,
  rpm,
  scale,
  windowMs,
} from './classroom-class.ts'
import { at, median } from './statistics.ts'

const rows: Record<Manner, string> = {
  events: 'waits in line, server-sent events',
  retry: '429, and again after `Retry-After`',
}

/** A table in Markdown and what it says of the targets. Times are scaled to a minute of 60 s. */
export function report(results: Record<Manner, ClassResult[]>): string {
  const waiting = results.events.map(figuresOf)
  const middle = (name: keyof Figures) => median(waiting.map((figures) => figures[name]))
  const targets: [string, boolean][] = [
    ['at most 1.05 times the least possible time', middle('ratio') <= 1.05],
    ['no refusals', middle('refusals') === 0],
    ['everyone’s subtopics within two windows', middle('inTwoWindows') === learners],
    ['Jain’s fairness of at least 0.95', middle('fairness') >= 0.95],
    ['late learners wait at most 10 s (95th percentile)', middle('lateP95') <= 10],
  ]
  const missed = targets.filter(([, isReached]) => !isReached).map(([name]) => name)
  return [
    `Node ${process.version}, ${machine()}, one machine for everything: a gateway, two instances of text-generation, Redis, Gemini’s`,
    `emulator (${rpm} calls a window, ${latencyMs} ms an answer) and the class. ${learners} learners begin at once; each asks for subtopics and then for`,
    `${explanations} explanations of them. From the third window on other learners come at random, three a window, and ask for subtopics.`,
    `A window lasts ${windowMs / 1000} s instead of 60: all times are multiplied by ${scale}, and so is what the machine adds to them. \`MAX_STREAM_WAIT_SECONDS\``,
    `is ${maxStreamWaitSeconds}, as the last explanation comes after more than the default. The least possible time is calls ÷ ${rpm} windows, rounded up, without the`,
    'first one. `Retry-After` is in whole seconds, which weigh more in a short window.',
    '',
    `Classes of each kind: ${waiting.length}, all at the same time. Medians, and lowest to highest where they differ.`,
    '',
    `| a learner … | ${Object.values(rows).join(' | ')} |`,
    '|---|--:|--:|',
    ...(Object.keys(names) as (keyof Figures)[]).map((name) => {
      const cells = (Object.keys(rows) as Manner[]).map((manner) =>
        cell(results[manner].map((of) => figuresOf(of)[name])),
      )
      return `| ${names[name]} | ${cells.join(' | ')} |`
    }),
    '',
    missed.length === 0 ? 'All targets are reached.' : `Missed: ${missed.join('; ')}.`,
  ].join('\n')
}

const names = {
  doneAfter: 'class done after s',
  ratio: '÷ least possible time (target ≤ 1.05)',
  refusals: 'refusals (target 0)',
  calls: 'calls of Gemini until then',
  refusedByGemini: 'calls that Gemini refused',
  inTwoWindows: `learners with subtopics within two windows (target ${learners})`,
  lastSubtopics: 'last subtopics after s',
  firstMedian: 'first explanation after s, median learner',
  firstLast: 'first explanation after s, last learner',
  fairness: 'Jain’s fairness of the times of completion (target ≥ 0.95)',
  lateMedian: 'late learners wait s, median',
  lateP95: 'late learners wait s, 95th percentile (target ≤ 10)',
}
type Figures = Record<keyof typeof names, number>

/** In seconds of a minute of 60. */
function figuresOf({ subtopicsMs, firstMs, doneMs, lateMs, calls, refusals, refusedByGemini }: ClassResult): Figures {
  const seconds = (ms: number) => (ms * scale) / 1000
  const doneAfterMs = Math.max(...doneMs)
  const leastMs = (Math.ceil(calls / rpm) - 1) * windowMs + latencyMs
  const waits = lateMs.map((ms) => Math.max(0, ms - latencyMs))
  return {
    doneAfter: seconds(doneAfterMs),
    ratio: doneAfterMs / leastMs,
    refusals,
    calls,
    refusedByGemini,
    inTwoWindows: subtopicsMs.filter((ms) => ms <= 2 * windowMs).length,
    lastSubtopics: seconds(Math.max(...subtopicsMs)),
    firstMedian: seconds(median(firstMs)),
    firstLast: seconds(Math.max(...firstMs)),
    fairness: jain(doneMs),
    lateMedian: seconds(median(waits)),
    lateP95: seconds(at(waits, 0.95)),
  }
}

function cell(values: number[]): string {
  const [middle, low, high] = [median(values), Math.min(...values), Math.max(...values)].map(short)
  return low === high ? `${middle}` : `${middle} (${low} to ${high})`
}

/** Three digits, of whole numbers all. */
function short(value: number): string {
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toPrecision(3)
}

/** 1 when all are served alike, 1 ÷ their number when one gets everything. */
function jain(values: number[]): number {
  const sum = values.reduce((total, value) => total + value, 0)
  return sum ** 2 / (values.length * values.reduce((total, value) => total + value ** 2, 0))
}
