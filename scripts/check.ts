import { spawnSync } from 'node:child_process'

/** What CI runs: format and lint, types, unused code, the README's tables, tests. All are run, so that one look shows every fault. */
const steps: [name: string, command: string, ...args: string[]][] = [
  ['format and lint', 'biome', 'check', '--error-on-warnings', '.'],
  ['types', 'tsc'],
  ['unused code', 'knip'],
  ["README's settings", 'node', 'scripts/settings-table.ts', '--check'],
  ['test runner', 'tap', 'build'], // an install undoes it: without it tap would compile the TypeScript itself
  ['tests', 'tap', '{gateway,packages/*,services/*}/test/**/*.test.ts'],
  ['simulation of the quota', 'node', 'packages/quota-client/sim/main.ts'],
  // Each of these starts a whole fleet, and some measure a promised time: one after the other.
  ['end-to-end tests', 'tap', '--jobs=1', 'e2e/*.test.ts'],
]

const failed = steps.filter(([name, command, ...args]) => {
  console.log(`\n── ${name}: ${[command, ...args].join(' ')}`)
  const { status, error } = spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  if (error) console.error(error.message)
  return status !== 0
})

console.log(failed.length === 0 ? '\nAll checks passed.' : `\nFailed: ${failed.map(([name]) => name).join(', ')}`)
process.exit(failed.length === 0 ? 0 : 1)
