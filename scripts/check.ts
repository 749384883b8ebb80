// What CI runs. Every step runs even if an earlier one fails, so that one run shows every fault.
//   node scripts/check.ts             all steps
//   node scripts/check.ts fast|e2e    those of `npm test`, those of `npm run test:e2e`
//   --changed                         format, lint, types, and the tests of the packages with uncommitted changes
//   --repeat N                        the tests N times, and how often each step failed
//   --under-load                      while other processes keep every core busy
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

interface Step {
  name: string
  command: string[]
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    changed: { type: 'boolean', default: false },
    repeat: { type: 'string', default: '1' },
    'under-load': { type: 'boolean', default: false },
  },
})
const [part] = positionals
if (positionals.length > 1 || (part !== undefined && part !== 'fast' && part !== 'e2e'))
  throw new Error(`expected nothing, "fast" or "e2e", not "${positionals.join(' ')}"`)
const repeat = Number(values.repeat)
if (!Number.isInteger(repeat) || repeat < 1)
  throw new Error(`--repeat must be a number from 1 on, not ${values.repeat}`)

const statics: Step[] = [
  { name: 'format and lint', command: ['biome', 'check', '--error-on-warnings', '.'] },
  { name: 'types', command: ['tsc'] },
  { name: 'types of the pages', command: ['tsc', '-p', 'web'] },
  { name: 'unused code', command: ['knip'] },
  { name: 'settings table', command: ['node', 'scripts/settings-table.ts', '--check'] },
  { name: 'types of the client', command: ['node', 'scripts/client-types.ts', '--check'] },
]
/** An install resets tap to its default plugins, which compile TypeScript. */
const runner: Step = { name: 'test runner', command: ['tap', 'build'] }
const fastTests: Step[] = [
  { name: 'tests', command: ['tap', '{gateway,packages/*,services/*,web}/test/**/*.test.ts'] },
  { name: 'simulation of the quota', command: ['node', 'packages/quota-client/sim/main.ts'] },
]
const endToEndTests: Step[] = [{ name: 'end-to-end tests', command: ['tap', 'e2e/*.test.ts'] }]

const tests = values.changed
  ? changedTests()
  : [...(part === 'e2e' ? [] : fastTests), ...(part === 'fast' ? [] : endToEndTests)]
const once = part === 'e2e' || repeat > 1 ? [runner] : [...statics, runner]
/** A test starts many processes; without the cache each spends half of its start on reading the same TypeScript. */
const environment = { ...process.env, NODE_COMPILE_CACHE: resolve('node_modules/.cache/node-compile') }
const failures = new Map<string, number>()
const load = values['under-load'] ? busyProcesses() : []
for (const step of once) run(step)
for (let round = 1; round <= repeat; round++) {
  if (repeat > 1) console.log(`\n══ run ${round} of ${repeat}`)
  for (const step of tests) run(step)
}
for (const each of load) each.kill()

const failed = [...failures].map(([name, times]) => (repeat > 1 ? `${name} (${times} of ${repeat} runs)` : name))
console.log(failed.length === 0 ? '\nAll checks passed.' : `\nFailed: ${failed.join(', ')}`)
process.exit(failed.length === 0 ? 0 : 1)

function run({ name, command: [program = '', ...args] }: Step): void {
  console.log(`\n── ${name}: ${[program, ...args].join(' ')}`)
  const startedAt = performance.now()
  const { status, error } = spawnSync(program, args, { stdio: ['ignore', 'inherit', 'inherit'], env: environment })
  if (error) console.error(error.message)
  if (status !== 0) failures.set(name, (failures.get(name) ?? 0) + 1)
  console.log(`   ${status === 0 ? 'passed' : 'FAILED'} after ${((performance.now() - startedAt) / 1000).toFixed(0)} s`)
}

/** The tests in the folders `test/` of the packages, services and e2e files that differ from the last commit. */
function changedTests(): Step[] {
  const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8' }).split('\n').filter(Boolean)
  const files = [...git('diff', '--name-only', 'HEAD'), ...git('ls-files', '--others', '--exclude-standard')]
  const folders = files.flatMap((file) => /^(gateway|web|packages\/[^/]+|services\/[^/]+)\//.exec(file)?.[1] ?? [])
  const patterns = [
    ...[...new Set(folders)]
      .filter((folder) => existsSync(`${folder}/test`))
      .map((folder) => `${folder}/test/**/*.test.ts`),
    ...files.filter((file) => /^e2e\/[^/]+\.test\.ts$/.test(file) && existsSync(file)),
  ]
  return patterns.length === 0 ? [] : [{ name: 'tests', command: ['tap', ...patterns] }]
}

function busyProcesses(): ChildProcess[] {
  return Array.from({ length: availableParallelism() }, () => spawn(process.execPath, ['-e', 'for (;;);']))
}
