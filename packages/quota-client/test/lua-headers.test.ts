import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'

const folder = new URL('../lua/', import.meta.url)
const library = 'account.lua'
const scriptsSource = readFileSync(new URL('../src/scripts.ts', import.meta.url), 'utf8')

t.test('every script says in its header exactly the KEYS and ARGV that it uses', async (t) => {
  const files = readdirSync(folder).filter((file) => file !== library)
  t.ok(files.length >= 6)
  for (const file of files) {
    const text = readFileSync(new URL(file, folder), 'utf8')
    const [header = '', ...body] = text.split(/\n\n/)
    const named = (part: string, name: string) =>
      [...new Set(part.match(new RegExp(`${name}\\[\\d+\\]`, 'g')))].sort(byNumber)
    for (const name of ['KEYS', 'ARGV']) {
      const used = named(body.join('\n'), name)
      t.same(named(header, name), used, `${file}: ${name}`)
      t.same(used, Array.from({ length: used.length }, (_, at) => `${name}[${at + 1}]`), `${file}: no gap in ${name}`)
    }
    t.match(header, /RETURNS/)
    t.match(header, /Atomic, because/)
    const registered = Number(scriptsSource.match(new RegExp(`${tsName(file)}: (\\d)`, 'i'))?.[1])
    t.equal(registered, named(header, 'KEYS').length, `${file} is registered with as many keys`)
    t.notMatch(body.join('\n'), /redis\.call\([^)]*['"]quota:/, 'no key is written into the script')
  }
})

t.test('the library uses neither KEYS nor ARGV', async (t) => {
  t.notMatch(readFileSync(new URL(library, folder), 'utf8'), /KEYS\[|ARGV\[/)
})

function tsName(file: string): string {
  const name = file.replace('.lua', '')
  return name.includes('-') ? `'${name}'` : `\\b${name}`
}

function byNumber(one: string, other: string): number {
  return Number(one.match(/\d+/)) - Number(other.match(/\d+/))
}
