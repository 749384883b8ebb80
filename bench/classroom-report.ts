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
import { at } from './statistics.ts'

const rows: Record<Manner, string> = {
  events: 'waits in line, server-sent events',
  retry: '429, and again after `Retry-After`',
}

/** A table in Markdown and what it says of the targets. Times are scaled to a minute of 60 s. */
export function report(results: Record<Manner, ClassResult>): string {
  const manners = Object.keys(rows) as Manner[]
  const figures = manners.map((manner) => ({ manner, ...results[manner], ...figuresOf(results[manner]) }))
  const [waiting] = figures as [(typeof figures)[number]]
  const targets: [string, boolean][] = [
    ['ratio to the least possible time ≤ 1.05', waiting.ratio <= 1.05],
    ['no refusals', waiting.refusals === 0],
    ['everyone’s subtopics within two windows', waiting.inTwoWindows === learners],
    ['Jain’s fairness ≥ 0.95', waiting.fairness >= 0.95],
    ['late learners wait ≤ 10 s (95th percentile)', waiting.lateP95 <= 10],
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
    '| a learner … | class done after s | ÷ least possible | refusals | calls | refused by Gemini | subtopics within two windows | last subtopics s | first explanation s: median | last | Jain’s fairness | late learners wait s: median | 95 % |',
    '|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|',
    ...figures.map((of) => {
      const cells = [
        rows[of.manner],
        of.doneAfter.toFixed(0),
        of.ratio.toFixed(2),
        of.refusals,
        of.calls,
        of.refusedByGemini,
        `${of.inTwoWindows} of ${learners}`,
        of.lastSubtopics.toFixed(0),
        of.firstMedian.toFixed(0),
        of.firstLast.toFixed(0),
        of.fairness.toFixed(3),
        of.lateMedian.toFixed(1),
        of.lateP95.toFixed(1),
      ]
      return `| ${cells.join(' | ')} |`
    }),
    '',
    missed.length === 0 ? 'All targets are reached.' : `Missed: ${missed.join('; ')}.`,
  ].join('\n')
}

/** In seconds of a minute of 60. */
function figuresOf({ subtopicsMs, firstMs, doneMs, lateMs, calls }: ClassResult) {
  const seconds = (ms: number) => (ms * scale) / 1000
  const doneAfterMs = Math.max(...doneMs)
  const leastMs = (Math.ceil(calls / rpm) - 1) * windowMs + latencyMs
  const waits = lateMs.map((ms) => Math.max(0, ms - latencyMs))
  return {
    doneAfter: seconds(doneAfterMs),
    ratio: doneAfterMs / leastMs,
    inTwoWindows: subtopicsMs.filter((ms) => ms <= 2 * windowMs).length,
    lastSubtopics: seconds(Math.max(...subtopicsMs)),
    firstMedian: seconds(at(firstMs, 0.5)),
    firstLast: seconds(Math.max(...firstMs)),
    fairness: jain(doneMs),
    lateMedian: seconds(at(waits, 0.5)),
    lateP95: seconds(at(waits, 0.95)),
  }
}

/** 1 when all are served alike, 1 ÷ their number when one gets everything. */
function jain(values: number[]): number {
  const sum = values.reduce((total, value) => total + value, 0)
  return sum ** 2 / (values.length * values.reduce((total, value) => total + value ** 2, 0))
}
