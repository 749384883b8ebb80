import { spawnSync } from 'node:child_process'

/** What CI runs. Every step runs even if an earlier one fails, so that one run shows every fault. */
const steps: [name: string, command: string, ...args: string[]][] = [
  ['format and lint', 'biome', 'check', '--error-on-warnings', '.'],
  ['types', 'tsc'],
  ['types of the pages', 'tsc', '-p', 'web'],
  ['unused code', 'knip'],
  ['settings table', 'node', 'scripts/settings-table.ts', '--check'],
  ['types of the client', 'node', 'scripts/client-types.ts', '--check'],
  ['test runner', 'tap', 'build'], // an install resets tap to its default plugins, which compile TypeScript
  ['tests', 'tap', '{gateway,packages/*,services/*,web}/test/**/*.test.ts'],
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
