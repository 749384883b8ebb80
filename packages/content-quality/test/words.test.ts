import fc from 'fast-check'
import t from 'tap'
import { sentenceEnd, survey } from '../src/characters.ts'
import { fold } from '../src/folding.ts'
import { contentWordsAbove, mostContentWords, sentences, wordCounts } from '../src/words.ts'

t.test('counts words as people of each language do', (t) => {
  const cases: [string, number][] = [
    ['', 0],
    ['— … !', 0],
    ['State-of-the-art COVID-19 vaccines', 3],
    ["L'impact de l'intelligence artificielle", 4],
    ['El cambio climático', 3],
    ['Donaudampfschifffahrtsgesellschaft heute', 2],
    ['机器学习 和 深度学习', 5],
    ['二酸化炭素と水', 3],
    ['الذكاء الاصطناعي في الطب', 4],
    ['המהפכה הצרפתית', 2],
    ['COVID-19 大流行', 3],
  ]
  for (const [text, words] of cases) t.equal(wordCounts(text).all, words, text)
  t.end()
})

t.test('an upper bound does not count what other languages write inside a word', (t) => {
  t.equal(wordCounts('人工知能における倫理的な課題と社会への影響').content, 6)
  t.equal(wordCounts('人工智能在医疗诊断中的应用').content, 5)
  t.equal(wordCounts('The ethics of artificial intelligence').content, 5)
  t.end()
})

t.test('counts sentences in each script', (t) => {
  const cases: [string, number][] = [
    ['One. Two! Three?', 3],
    ['Un. ¿Dos? Tres.', 3],
    ['第一句。第二句！', 2],
    ['これは一つです。二つ目です。', 2],
    ['الجملة الأولى. هل هذه الثانية؟ نعم.', 3],
    ['משפט ראשון. משפט שני.', 2],
    ['no stop at all', 1],
    ['...', 0],
  ]
  for (const [text, count] of cases) t.equal(sentences(text).length, count, text)
  t.end()
})

t.test('folds what writers may leave out and keeps what changes a word', (t) => {
  t.equal(fold('Électricité'), 'electricite')
  t.equal(fold('عذرًا'), fold('عذرا'))
  t.equal(fold('שָׁלוֹם'), fold('שלום'))
  t.equal(fold('ＡＩ'), 'ai')
  t.not(fold('かき'), fold('かぎ'))
  t.end()
})

t.test('two Han characters are as long as a short word', (t) => {
  t.equal(survey('历史').letters, 4)
  t.equal(survey('AI').letters, 2)
  t.equal(survey(' - !').letters, 0)
  t.end()
})

const pieces = fc.constantFrom(
  ...'的中与对于为に及びのをがるとー々〇光合成因果研究カ한ก𠮷é aZ9_-.、。\u0301\u3099ﾞ\n',
  ...['光合作用', '関する', '以て', '不可', '其の', 'COVID-19', 'リスク'],
)
const mixedText = fc.array(pieces, { maxLength: 16 }).map((parts) => parts.join(''))

t.test('content words are never more than the bound that saves the segmenter', (t) => {
  fc.assert(
    fc.property(mixedText, (text) => mostContentWords(text) >= wordCounts(text).content),
    { numRuns: 5_000 },
  )
  t.equal(mostContentWords('光合作用对环境的影响'), 8)
  t.equal(contentWordsAbove('光合作用对环境的影响', 8), 8)
  t.equal(contentWordsAbove('光合作用对环境的影响', 7), 3)
  t.end()
})

t.test('a text without a character that can end a sentence is one sentence to ICU too', (t) => {
  const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' })
  const others: string[] = []
  for (let codePoint = 0; codePoint <= 0x10_ffff; codePoint += 1) {
    const character = String.fromCodePoint(codePoint)
    if (!(survey(character).traits & sentenceEnd)) others.push(character)
  }
  const text = others.map((character) => `Ab${character} Cd`).join('')
  t.equal([...segmenter.segment(text)].length, 1)
  t.ok(others.length > 1_000_000)
  t.end()
})
