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

t.test('a key can be read: the operation, then a hash', async (t) => {
  t.match(cacheKey(parts), /^create_subtopics:[\da-f]{64}$/)
})

t.test('inputs that mean the same share a key', async (t) => {
  const key = cacheKey(parts)
  t.equal(cacheKey({ ...parts, input: { level: 2, topic: '  LIGHT\n' } }), key)
  t.equal(cacheKey({ ...parts, input: { ...parts.input, extra: undefined } }), key)
  t.equal(cacheKey({ ...parts, promptVersion: '3' }), key)
  const pairs: [string, string][] = [
    ['ﬁre  Ⅳ', 'FIRE IV'],
    ['Straße', 'STRASSE'],
    ['STRAẞE', 'strasse'],
    ['ΟΔΟΣ', 'οδος'],
    ['caf\u00e9', 'Cafe\u0301'],
    ['日本\u3000語', '日本 語'],
    ['ｅｎｇ', 'eng'],
    ['ΐ', 'ΐ'.toUpperCase()],
  ]
  for (const [a, b] of pairs) t.equal(normaliseInput(a), normaliseInput(b), `${a} = ${b}`)
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
  t.not(normaliseInput('kıl'), normaliseInput('kil'), 'the dotless ı is a letter of its own')
  t.not(normaliseInput('שלום'), normaliseInput('שלומ'))
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
})
