// npm run e2e: the whole system as a black box under load, faults and time, with a summary at the end. `-- --long` in full,
// `-- --seed N` repeats the faults of a run, `-- --only invariant,chaos` plays only these parts.
import { parseArgs } from 'node:util'
import { chaos } from './chaos.ts'
import { invariant } from './invariant.ts'
import { models } from './models.ts'
import type { Outcome, Part } from './part.ts'
import { examples, table } from './report.ts'
import { soak } from './soak.ts'

const parts: Part[] = [invariant, chaos, models, soak]

const { values } = parseArgs({
  options: { long: { type: 'boolean', default: false }, seed: { type: 'string' }, only: { type: 'string' } },
})
const seed = values.seed ?? String(Date.now() % 1_000_000)
const names = values.only?.split(',') ?? parts.map(({ name }) => name)
const unknown = names.filter((name) => !parts.some((part) => part.name === name))
if (unknown.length > 0) {
  console.error(`There is no part ${unknown.join(', ')}: choose of ${parts.map(({ name }) => name).join(', ')}.`)
  process.exit(2)
}

let cleanUps: (() => unknown)[] = []
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void endAll().finally(() => process.exit(130))) // else its processes would outlive it

const startedAt = performance.now()
console.log(`The ${values.long ? 'long' : 'short'} form: ${names.join(', ')}. Seed ${seed}.`)
const outcomes: [Part, Outcome][] = []
for (const part of parts.filter(({ name }) => names.includes(name))) outcomes.push([part, await play(part)])

const rows = outcomes.flatMap(([{ name }, { rows }]) =>
  rows.map((row) => ({ ...row, promise: `${name}: ${row.promise}` })),
)
const missed = rows.filter(({ kept }) => kept === false).length
console.log(`\n${table(rows)}\n`)
for (const [{ name }, { evidence }] of outcomes)
  for (const [title, found] of Object.entries(evidence))
    if (found.length > 0) console.log(examples(`${name}: ${title}`, found))
const again = `npm run e2e -- --seed ${seed}${values.long ? ' --long' : ''}${values.only ? ` --only ${values.only}` : ''}`
const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1)
console.log(
  `${missed === 0 ? 'Every promise was kept' : `${missed} MISSED`}, in ${minutes} minutes. Again with the same faults: ${again}`,
)
process.exitCode = missed === 0 ? 0 : 1

async function play(part: Part): Promise<Outcome> {
  cleanUps = []
  const say = (line: string) => console.log(`${part.name}: ${line}`)
  say('starts')
  try {
    return await part.play({ teardown: (cleanUp) => void cleanUps.push(cleanUp) }, { seed, long: values.long, say })
  } catch (error) {
    const stack = String((error as Error).stack ?? error)
    const row = { promise: 'played to its end', asked: 'yes', measured: 'no, see below', kept: false }
    return { rows: [row], evidence: { 'what ended it': [stack] } }
  } finally {
    await endAll()
  }
}

async function endAll(): Promise<void> {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
}
