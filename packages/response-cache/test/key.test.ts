import fc from 'fast-check'
import t from 'tap'
import { answerTags, cacheKey, type KeyParts, normaliseInput } from '../src/index.ts'

const parts: KeyParts = {
  operation: 'create_subtopics',
  promptVersion: 3,
  model: 'gemini-2.5-flash',
  language: 'en',
  input: { topic: 'Light', level: 2 },
}

/** For the name of an assertion, which must be one line. */
const printable = (text: string) => text.replace(/[^ -~]/gu, (letter) => `U+${letter.codePointAt(0)?.toString(16)}`)

t.test('a key can be read: the operation, then a hash', async (t) => {
  t.match(cacheKey(parts), /^create_subtopics:[\da-f]{64}$/)
})

t.test('inputs that mean the same share a key', async (t) => {
  const key = cacheKey(parts)
  t.equal(cacheKey({ ...parts, input: { level: 2, topic: '  Light\n' } }), key)
  t.equal(cacheKey({ ...parts, input: { ...parts.input, extra: undefined } }), key)
  t.equal(cacheKey({ ...parts, promptVersion: '3' }), key)
  const pairs: [string, string][] = [
    ['caf\u00e9', 'cafe\u0301'],
    ['\u212b', '\u00c5'], // the sign for ångström is the letter
    ['한글', '한글'.normalize('NFD')],
    ['日本\u3000語', '日本 語'],
    ['\ufeffLight\u00a0and\u2028shadow\u0085', 'Light and shadow'],
    ['Li\u0000ght\u001b', 'Light'],
    ['\u202eLight\u202c \u2067and\u2069 shadow\u200f', 'Light and shadow'],
    ['Light\u{e0049}\u{e0067}\u{e006e}', 'Light'],
    ['e\u202d\u0301', 'é'],
    ['Photosynthesis', 'photosynthesis'],
    ['Evolution of birds', 'evolution of birds'],
    ['Électricité', 'électricité'],
  ]
  const keyOf = (topic: string) => cacheKey({ ...parts, input: { topic } })
  for (const [a, b] of pairs) t.equal(keyOf(a), keyOf(b), printable(a))
})

t.test('inputs that may mean something else do not share a key', async (t) => {
  const pairs: [string, string][] = [
    ['106', '10⁶'],
    ['H2O', 'H₂O'],
    ['us', 'US'],
    ['it', 'IT'],
    ['who', 'WHO'],
    ['polish', 'Polish'],
    ['turkey', 'Turkey'],
    ['mercury', 'Mercury'],
    ['photosynthesis', 'PHOTOSYNTHESIS'],
    ['birds of australia', 'birds of Australia'],
    ['JavaScript', 'javascript'],
    ['c', 'C'],
    ['C', 'ℂ'],
    ['mW', 'MW'],
    ['Mb', 'MB'],
    ['Co', 'CO'],
    ['x1', 'x¹'],
    ['½', '1⁄2'],
    ['Ⅳ', 'IV'],
    ['Masse', 'Maße'],
    ['ΟΔΟΣ', 'οδος'],
    ['kıl', 'kil'],
    ['שלום', 'שלומ'],
    ['می\u200cخواهم', 'میخواهم'], // the joiner is a letter's form
    ['5', '5!'],
    ['int', 'int?'],
    ['C', 'C#'],
    ['NET', '.NET'],
    ['light bulb', 'lightbulb'],
  ]
  const keyOf = (topic: string) => cacheKey({ ...parts, input: { topic } })
  for (const [a, b] of pairs) t.not(keyOf(a), keyOf(b), `${printable(a)} is not ${printable(b)}`)
})

t.test('inputs that differ do not share a key', async (t) => {
  const variants: KeyParts[] = [
    parts,
    { ...parts, operation: 'create_presentation' },
    { ...parts, promptVersion: 4 },
    { ...parts, model: 'gemini-2.5-pro' },
    { ...parts, language: 'de' },
    { ...parts, input: { topic: 'Light' } },
    { ...parts, input: { topic: 'Light', level: '2' } },
    { ...parts, input: { topic: 'Light","level":2,"', level: 2 } },
    { ...parts, input: { topic: '', light: '', level: 2 } },
    { ...parts, input: { topi: 'c Light', level: 2 } },
  ]
  t.equal(new Set(variants.map(cacheKey)).size, variants.length)
})

t.test('normalising twice changes nothing, whatever the text', async () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => normaliseInput(normaliseInput(text)) === normaliseInput(text)),
  )
})

t.test('no text in one field can stand for another text in another', async () => {
  const texts = fc.tuple(fc.string(), fc.string())
  fc.assert(
    fc.property(texts, texts, ([a, b], [c, d]) => {
      const isSame = normaliseInput(a) === normaliseInput(c) && normaliseInput(b) === normaliseInput(d)
      return isSame === (cacheKey({ ...parts, input: { a, b } }) === cacheKey({ ...parts, input: { a: c, b: d } }))
    }),
  )
})

t.test('an answer carries the tags to drop it by operation, by topic, and by both', async (t) => {
  const both = answerTags({ operation: 'create_subtopics', topic: '  LIGHT waves' })
  t.same(both, ['operation:create_subtopics', 'topic:light waves', 'operation:create_subtopics topic:light waves'])
  t.same(answerTags({ topic: 'Light waves' }), both.slice(1, 2))
  t.same(answerTags({ operation: 'create_subtopics' }), both.slice(0, 1))
  for (const [a, b] of [
    ['ﬁre  Ⅳ', 'FIRE IV'],
    ['STRAẞE', 'strasse'],
    ['ΟΔΟΣ', 'οδος'],
  ])
    t.same(answerTags({ topic: a }), answerTags({ topic: b }), 'an operator need not know how it was written')
})
