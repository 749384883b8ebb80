// npm run sim: plays seeded schedules of faults against the real client and the real script, in virtual time. See README.md.
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { kindOf, kinds, scheduleOf } from './kinds.ts'
import { startRedisServer } from './real-redis.ts'
import { count, describe, Progress, type Tally, table } from './report.ts'
import { shrink } from './shrink.ts'
import { simulate } from './simulation.ts'
import { openStage, type Played, type Task } from './worker.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    seed: { type: 'string' },
    kind: { type: 'string', multiple: true },
    /** For mutations.ts: stop at the first failure of this kind, and print nothing but a line of JSON. */
    until: { type: 'string' },
  },
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/** Two servers and two clients keep two cores busy; several simulations each, so that neither waits for the other. */
const workers = 2
const atOnce = 6
const mostShrunk = 3

const chosen = values.kind
for (const name of chosen ?? [])
  if (kinds[name] === undefined) throw new Error(`--kind must be one of ${Object.keys(kinds).join(', ')}; not ${name}`)

function taskOf(seed: number): Task {
  return { seed, kind: chosen?.[seed % chosen.length] ?? kindOf(seed) }
}

/** Plays each task once, and stops early after a failure when that is wanted. */
async function playAll(tasks: Task[], onPlayed: (played: Played) => void): Promise<void> {
  let next = 0
  let isOver = false
  await Promise.all(
    Array.from({ length: workers }, async () => {
      const server = await startRedisServer()
      const workerData = { socketPath: server.socketPath }
      const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData })
      await new Promise<void>((resolve, reject) => {
        let playing = 0
        const send = () => {
          const task = isOver ? undefined : tasks[next++]
          if (task !== undefined) {
            playing += 1
            worker.postMessage(task)
          } else if (playing === 0) worker.postMessage('end')
        }
        worker.on('message', (played: Played) => {
          playing -= 1
          onPlayed(played)
          if (played.outcome.failures.some(({ kind }) => kind === values.until)) isOver = true
          send()
        })
        worker.on('error', reject)
        worker.on('exit', () => resolve())
        for (let at = 0; at < atOnce; at++) send()
      })
      await server.stop()
    }),
  )
}

/** Plays one schedule here, shrinks it if it fails, and prints it. */
async function show({ seed, kind }: Task): Promise<boolean> {
  const server = await startRedisServer()
  const stage = await openStage(server.socketPath)
  const schedule = scheduleOf(seed, kind)
  const outcome = await simulate(schedule, stage)
  const hasFailed = outcome.failures.length > 0
  const shown = hasFailed ? await shrink(schedule, outcome, stage) : { schedule, outcome }
  stage.real.close()
  await server.stop()
  console.log(`\n${describe(shown.schedule, shown.outcome)}`)
  if (hasFailed) console.log(`(shrunk from ${schedule.faults.length} faults and ${schedule.loads.length} loads)`)
  return hasFailed
}

if (values.seed !== undefined) {
  process.exitCode = (await show(taskOf(Number(values.seed)))) ? 1 : 0
} else {
  const tasks = Array.from({ length: Number(values.seeds) }, (_, seed) => taskOf(seed))
  const tallies = new Map<string, Tally>()
  const progress = new Progress(tasks.length)
  const failed: Played[] = []
  let scriptCalls = 0
  let played = 0
  const began = process.hrtime.bigint()
  await playAll(tasks, (each) => {
    played += 1
    count(tallies, each.kind, each.outcome)
    scriptCalls += each.outcome.scriptCalls
    if (each.outcome.failures.length > 0) failed.push(each)
    if (values.until === undefined) progress.step(each.outcome.failures.length > 0)
  })
  failed.sort((one, other) => one.seed - other.seed)
  const seconds = Number(process.hrtime.bigint() - began) / 1e9
  if (values.until !== undefined) {
    const found = failed.find(({ outcome }) => outcome.failures.some(({ kind }) => kind === values.until))
    console.log(JSON.stringify({ played, kind: found?.kind, seed: found?.seed }))
  }
  if (values.until === undefined) {
    console.log(table(new Map(Object.keys(kinds).flatMap((kind) => [...tallies].filter(([name]) => name === kind)))))
    console.log(`${played} schedules, ${scriptCalls} calls of the script, in ${seconds.toFixed(0)} s`)
    for (const task of failed.slice(0, mostShrunk)) await show(task)
    if (failed.length > mostShrunk)
      console.log(
        `\nalso failed: ${failed
          .slice(mostShrunk, 60)
          .map(({ seed, kind, outcome }) => `${seed} (${kind}: ${outcome.failures[0]?.kind})`)
          .join(', ')}`,
      )
  }
  process.exitCode = failed.length > 0 ? 1 : 0
}
