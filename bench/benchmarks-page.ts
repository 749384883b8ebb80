import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { fileURLToPath } from 'node:url'

const page = new URL('../docs/benchmarks.md', import.meta.url)

/** Replaces the section of `npm run bench:<name>` in docs/benchmarks.md, between its markers, or adds it. */
export function writeSection({ name, title }: { name: string; title: string }, text: string): void {
  const before = existsSync(page) ? readFileSync(page, 'utf8') : '# Benchmarks\n'
  const [start, end] = [`<!-- bench:${name} starts -->`, `<!-- bench:${name} ends -->`]
  const section = `${start}\n${text}\n${end}`
  const [from, to] = [before.indexOf(start), before.indexOf(end)]
  if (from < 0) writeFileSync(page, `${before}\n## ${title}\n\n${section}\n`)
  else writeFileSync(page, before.slice(0, from) + section + before.slice(to + end.length))
  execFileSync('biome', ['format', '--write', fileURLToPath(page)], { stdio: 'inherit' }) // as `npm run check` wants it
}

/** What the figures were taken on. */
export function machine(): string {
  return `${availableParallelism()} cores of ${cpus()[0]?.model.trim()}`
}
