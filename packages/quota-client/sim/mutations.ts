// node sim/mutations.ts [name …]: puts one deliberate fault after the other into a copy of the package, and counts the schedules
// until the simulator finds it. Exits with 1 when one is not found, or its text is not there exactly once.
import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Mutation, mutations } from './mutation-list.ts'
import { replaceOnce } from './real-redis.ts'

interface Found {
  played: number
  kind?: string
  seed?: number
}

const most = 2000
const packageFolder = fileURLToPath(new URL('..', import.meta.url))

async function copyWith({ file, from, to }: Mutation): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'quota-mutation-'))
  for (const part of ['src', 'lua', 'sim', 'package.json'])
    await cp(join(packageFolder, part), join(folder, part), { recursive: true })
  await symlink(join(packageFolder, 'node_modules'), join(folder, 'node_modules'))
  const path = join(folder, file)
  await writeFile(path, replaceOnce(await readFile(path, 'utf8'), from, to))
  return folder
}

function play(folder: string, { kinds, shows }: Mutation): Promise<Found> {
  const args = [join(folder, 'sim/main.ts'), '--seeds', String(most), '--until', shows]
  const child = spawn(process.execPath, [...args, ...kinds.flatMap((kind) => ['--kind', kind])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return new Promise((resolve, reject) => {
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
    child.on('close', (code, signal) => {
      const line = output.trim().split('\n').at(-1) ?? ''
      if (line.startsWith('{')) resolve(JSON.parse(line))
      else reject(new Error(`the simulator ended with ${signal ?? code} and without a result ${output}`.trim()))
    })
  })
}

const chosen = process.argv.slice(2)
const selected = mutations.filter(({ name }) => chosen.length === 0 || chosen.includes(name))
const width = Math.max(...selected.map(({ name }) => name.length))
console.log(`${'mutation'.padEnd(width)}  ${'schedules'.padStart(9)}  found by`)
let missed = 0
for (const mutation of selected) {
  let folder: string | undefined
  let result: string
  try {
    folder = await copyWith(mutation)
    const { played, kind, seed } = await play(folder, mutation)
    if (kind === undefined) missed += 1
    const by = kind === undefined ? 'NOT FOUND' : `"${kind}", seed ${seed}: ${mutation.shows}`
    result = `${String(played).padStart(9)}  ${by}`
  } catch (error) {
    missed += 1
    result = `${'-'.padStart(9)}  ${(error as Error).message}`
  } finally {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  }
  console.log(`${mutation.name.padEnd(width)}  ${result}`)
}
console.log(`${selected.length - missed} of ${selected.length} found`)
process.exitCode = missed > 0 ? 1 : 0
