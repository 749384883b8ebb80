import { spawnSync } from 'node:child_process'
import type { TestContext } from '@knowalledge/testing'
import { machine, writeSection } from './benchmarks-page.ts'

/** Programs that a benchmark starts, by name, and the Debian package of each. */
const packageOf = { wrk: 'wrk', nginx: 'nginx', 'redis-server': 'redis-server' }

interface Benchmark {
  /** As in `npm run bench:<name>`. */
  name: string
  /** Of its section of docs/benchmarks.md. */
  title: string
  needs: (keyof typeof packageOf)[]
  /** Starts what it measures, which ends with `t`, and returns the section's Markdown. */
  run(t: TestContext): Promise<string>
}

/** Runs a benchmark, prints its section, and with --write replaces it in docs/benchmarks.md. */
export async function benchmark({ name, title, needs, run }: Benchmark): Promise<void> {
  assertInstalled(needs)
  progress(`bench:${name} on ${machine()}, Node ${process.version}`)
  const cleanUps: (() => unknown)[] = []
  try {
    const text = await run({ teardown: (cleanUp) => cleanUps.push(cleanUp) })
    console.log(text)
    if (process.argv.includes('--write')) writeSection({ name, title }, text)
  } finally {
    for (const cleanUp of cleanUps.toReversed()) await cleanUp()
  }
}

/** Tells who watches what is being done. Not on stdout, where the tables go. */
export function progress(text: string): void {
  console.error(text)
}

function assertInstalled(programs: Benchmark['needs']): void {
  const path = `${process.env.PATH}:/usr/local/sbin:/usr/sbin` // as nginxForTest looks for nginx
  const isMissing = (program: string) => spawnSync('which', [program], { env: { PATH: path } }).status !== 0
  const missing = programs.filter(isMissing)
  if (missing.length === 0) return
  const packages = missing.map((program) => packageOf[program]).join(' ')
  console.error(`Not installed: ${missing.join(', ')}. Install with:\n  sudo apt-get install -y ${packages}`)
  process.exit(1)
}
