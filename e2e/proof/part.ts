import type { TestContext } from '@knowalledge/testing'
import type { Row } from './report.ts'

/** One part of the proof: it starts what it needs, ends it with `t`, and says what it measured. */
export interface Part {
  name: string
  play(t: TestContext, run: Run): Promise<Outcome>
}

export interface Run {
  seed: string
  /** In full, instead of the short form for CI. */
  long: boolean
  /** A line of progress. */
  say(line: string): void
}

export interface Outcome {
  rows: Row[]
  /** What was found against a promise, by what it is. */
  evidence: Record<string, string[]>
}
