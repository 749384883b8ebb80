import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'

const folder = new URL('../lua/', import.meta.url)
const library = 'account.lua'

/** Comes before reserve.lua, as one script with it. */
const hot = readFileSync(new URL('reserve-hot.lua', folder), 'utf8')

t.test('every script says in its header exactly the KEYS and ARGV that it uses', async (t) => {
  const files = readdirSync(folder).filter((file) => file !== library)
  t.ok(files.length >= 6)
  for (const file of files) {
    const text = readFileSync(new URL(file, folder), 'utf8')
    const [header = '', ...body] = text.split(/\n\n/)
    const named = (part: string, name: string) =>
      [...new Set(part.match(new RegExp(`${name}\\[\\d+\\]`, 'g')))].sort(byNumber)
    for (const name of ['KEYS', 'ARGV']) {
      const used = named(body.join('\n') + (file === 'reserve.lua' ? hot : ''), name)
      t.same(named(header, name), used, `${file}: ${name}`)
      if (text !== hot)
        t.same(
          used,
          Array.from({ length: used.length }, (_, at) => `${name}[${at + 1}]`),
          `${file}: no gap in ${name}`,
        )
    }
    t.match(header, /RETURNS/)
    t.match(header, /Atomic, because/)
    t.notMatch(body.join('\n'), /redis\.call\([^)]*['"]quota:/, 'no key is written into the script')
  }
})

t.test('the library uses neither KEYS nor ARGV', async (t) => {
  t.notMatch(readFileSync(new URL(library, folder), 'utf8'), /KEYS\[|ARGV\[/)
})

function byNumber(one: string, other: string): number {
  return Number(one.match(/\d+/)) - Number(other.match(/\d+/))
}
