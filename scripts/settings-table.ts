import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { settings as gateway } from '@knowalledge/gateway/config'
import { settings as imageGeneration } from '@knowalledge/image-generation/config'
import { describeExpectation } from '@knowalledge/service-kit'
import { settings as textGeneration } from '@knowalledge/text-generation/config'
import { settings as vision } from '@knowalledge/vision/config'

/**
 * Writes the table in docs/settings.md from the schemas that validate the settings. With --check it writes nothing and
 * fails if the table is out of date.
 */
const processes = { gateway, 'text-generation': textGeneration, vision, 'image-generation': imageGeneration }
const page = 'docs/settings.md'
const [begin, end] = ['<!-- settings: begin -->', '<!-- settings: end -->']

interface Setting {
  description: string
  default?: unknown
}

const current = readFileSync(page, 'utf8')
const [before, rest] = current.split(begin)
const after = rest?.split(end)[1]
if (before === undefined || after === undefined) throw new Error(`${page} needs the lines ${begin} and ${end}`)
// Biome aligns the columns, as `npm run check` requires.
const updated = execFileSync('biome', ['format', `--stdin-file-path=${page}`], {
  encoding: 'utf8',
  input: `${before}${begin}\n${table()}\n${end}${after}`,
})

if (updated === current) process.exit(0)
if (process.argv.includes('--check')) {
  console.error(`${page} differs from the settings schemas. Run \`npm run docs:settings\` and commit the result.`)
  process.exit(1)
}
writeFileSync(page, updated)

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
  return [
    '| variable | default | description | accepted values | read by |',
    '| --- | --- | --- | --- | --- |',
    ...lines,
  ].join('\n')
}
