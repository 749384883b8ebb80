// npm run bench: every benchmark there is, one after the other, each rewriting its section of docs/benchmarks.md.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }
for (const [name, command] of Object.entries(scripts).filter(([name]) => name.startsWith('bench:'))) {
  console.log(`\n── ${name}`)
  const [node, ...parts] = command.split(' ') as [string, ...string[]]
  const { status } = spawnSync(node, [...parts, '--write'], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
