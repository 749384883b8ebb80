import t from 'tap'
import { readWish } from '../../src/content/prompt.ts'

t.test('reads labelled lines', (t) => {
  const prompt = [
    'Topic: The French Revolution: causes',
    'Subtopic: "Bread prices"',
    'Education level: High school',
    'Level of detail: Detailed',
    'Learning style: Visual',
    'Language: Spanish (es)',
    'Length: about 300 words',
    'Count: 12',
  ].join('\n')
  t.same(readWish('You teach.', prompt), {
    topic: 'The French Revolution: causes',
    subtopic: 'Bread prices',
    level: 'High school',
    detail: 'Detailed',
    style: 'Visual',
    language: 'es',
    words: 300,
    items: 12,
  })
  t.end()
})

t.test('reads languages by tag, by code and by name', (t) => {
  const languageOf = (value: string) => readWish('', `Topic: x\nLanguage: ${value}`).language
  t.equal(languageOf('Chinese (zh-Hans-CN)'), 'zh')
  t.equal(languageOf('pt-BR'), 'pt')
  t.equal(languageOf('fr'), 'fr')
  t.equal(languageOf('Hebrew'), 'he')
  t.equal(languageOf('日本語'), 'ja')
  t.equal(readWish('', 'Topic: x').language, 'en')
  t.end()
})

t.test('takes lists, emphasis, full-width colons and the system instruction into account', (t) => {
  t.equal(readWish('', '- **Topic:** Rome').topic, 'Rome')
  t.equal(readWish('', 'topic：光合作用').topic, '光合作用')
  t.equal(readWish('Language: German (de)', 'Topic: Rom').language, 'de')
  t.equal(readWish('', 'Topic:\nSubtopic: Walls').subtopic, 'Walls', 'an empty label does not take the next line')
  t.end()
})

t.test('finds a topic in a prompt without labels', (t) => {
  t.equal(readWish('', 'Please explain black holes.').topic, 'black holes')
  t.equal(readWish('', 'Give 8 good ideas about "urban farming"').topic, 'urban farming')
  t.equal(readWish('', 'Give 8 good ideas about "urban farming"').items, 8)
  t.equal(readWish('', '').topic, 'general knowledge')
  t.end()
})
