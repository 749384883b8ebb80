// npm run bench:classroom: thirty learners ask at once, each for subtopics and then for four explanations, at 15 calls a
// minute: with a place in line and server-sent events, and with refusals and Retry-After. Processes as in production, one
// class after the other. With --write the section in docs/benchmarks.md is replaced. Needs redis-server.
import { writeSection } from './benchmarks-page.ts'
import { type ClassResult, type Manner, playClass } from './classroom-class.ts'
import { report } from './classroom-report.ts'

const results: Partial<Record<Manner, ClassResult>> = {}
for (const manner of ['events', 'retry'] as const) {
  const cleanUps: (() => unknown)[] = []
  try {
    results[manner] = await playClass({ teardown: (cleanUp) => cleanUps.push(cleanUp) }, manner)
  } finally {
    for (const cleanUp of cleanUps.toReversed()) await cleanUp()
  }
}
const text = report(results as Record<Manner, ClassResult>)
console.log(text)
if (process.argv.includes('--write')) writeSection({ name: 'classroom', title: 'A class at nine o’clock' }, text)
