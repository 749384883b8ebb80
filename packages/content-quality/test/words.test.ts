import t from 'tap'
import { countContentWords, countLetters, countWords, fold, sentences } from '../src/words.ts'

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
  for (const [text, words] of cases) t.equal(countWords(text), words, text)
  t.end()
})

t.test('an upper bound does not count what other languages write inside a word', (t) => {
  t.equal(countContentWords('人工知能における倫理的な課題と社会への影響'), 6)
  t.equal(countContentWords('人工智能在医疗诊断中的应用'), 5)
  t.equal(countContentWords('The ethics of artificial intelligence'), 5)
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
  t.equal(countLetters('历史'), 4)
  t.equal(countLetters('AI'), 2)
  t.equal(countLetters(' - !'), 0)
  t.end()
})
