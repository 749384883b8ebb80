import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { settings as gateway } from '@knowalledge/gateway/config'
import { settings as imageGeneration } from '@knowalledge/image-generation/config'
import { describeExpectation } from '@knowalledge/service-kit'
import { settings as textGeneration } from '@knowalledge/text-generation/config'
import { settings as vision } from '@knowalledge/vision/config'

/** Writes the README's table of settings from the schemas that check them; with --check it only says whether it is true. */
const processes = { gateway, 'text-generation': textGeneration, vision, 'image-generation': imageGeneration }
const [begin, end] = ['<!-- settings: begin -->', '<!-- settings: end -->']

interface Setting {
  description: string
  default?: unknown
}

const readme = readFileSync('README.md', 'utf8')
const [before, rest] = readme.split(begin)
const after = rest?.split(end)[1]
if (before === undefined || after === undefined) throw new Error(`README.md needs ${begin} and ${end}`)
// As `npm run check` wants it: Biome lines the columns up.
const updated = execFileSync('biome', ['format', '--stdin-file-path=README.md'], {
  encoding: 'utf8',
  input: `${before}${begin}\n${table()}\n${end}${after}`,
})

if (updated === readme) process.exit(0)
if (process.argv.includes('--check')) {
  console.error("README.md's settings differ from the schemas: run `npm run docs:settings`.")
  process.exit(1)
}
writeFileSync('README.md', updated)

function table(): string {
  const rows = new Map<string, { setting: Setting; readers: string[] }>()
  for (const [name, schema] of Object.entries(processes)) {
    for (const [variable, setting] of Object.entries(schema.properties)) {
      const row = rows.get(variable) ?? { setting: setting as unknown as Setting, readers: [] }
      row.readers.push(name)
      rows.set(variable, row)
    }
  }
  const lines = [...rows].map(([variable, { setting, readers }]) => {
    const fallback = variable === 'PORT' ? '5000 to 5003' : String(setting.default ?? '')
    const who =
      readers.length === Object.keys(processes).length ? 'all' : readers.length === 3 ? 'services' : readers.join(', ')
    return `| \`${variable}\` | ${fallback && `\`${fallback}\``} | ${setting.description} | ${describeExpectation(setting)} | ${who} |`
  })
  return ['| variable | default | what it is | takes | read by |', '| --- | --- | --- | --- | --- |', ...lines].join(
    '\n',
  )
}
