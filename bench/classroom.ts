// npm run bench:classroom: thirty learners ask at once, each for subtopics and then for four explanations, at 15 calls a
// minute: with a place in line and server-sent events, and with refusals and Retry-After. Each class has processes of its
// own, as in production. With --write the section in docs/benchmarks.md is replaced. Needs redis-server.
import { writeSection } from './benchmarks-page.ts'
import { type Manner, playClass } from './classroom-class.ts'
import { report } from './classroom-report.ts'

const classesOfEach = 1

const cleanUps: (() => unknown)[] = []
const t = { teardown: (cleanUp: () => unknown) => cleanUps.push(cleanUp) }
const play = async (manner: Manner) =>
  await Promise.all(Array.from({ length: classesOfEach }, () => playClass(t, manner)))
try {
  // At the same time: they wait most of it.
  const [events, retry] = await Promise.all([play('events'), play('retry')])
  const text = report({ events, retry })
  console.log(text)
  if (process.argv.includes('--write')) writeSection({ name: 'classroom', title: 'A class of thirty' }, text)
} finally {
  for (const cleanUp of cleanUps.toReversed()) await cleanUp()
}
