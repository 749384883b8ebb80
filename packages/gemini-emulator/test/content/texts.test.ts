import t from 'tap'
import { languagePack } from '../../src/content/languages/index.ts'
import { readWish } from '../../src/content/prompt.ts'
import { countWords, writeExplanation, writeSubtopics } from '../../src/content/texts.ts'

const TOPICS = {
  en: 'Quantum physics',
  es: 'La fotosíntesis',
  fr: 'La photosynthèse',
  de: 'Die Photosynthese',
  zh: '光合作用',
  ja: '光合成',
  ar: 'التمثيل الضوئي',
  he: 'פוטוסינתזה',
}
const SCRIPTS: Record<string, RegExp> = {
  zh: /\p{Script=Han}/u,
  ja: /\p{Script=Hiragana}/u,
  ar: /\p{Script=Arabic}/u,
  he: /\p{Script=Hebrew}/u,
}

const wishFor = (language: string, topic: string, words = 150) =>
  readWish('', `Topic: ${topic}\nSubtopic: ${topic} 1\nLanguage: x (${language})\nLength: about ${words} words`)

t.test('writes 15 different subtopics of at most eight words in every language', (t) => {
  for (const [language, topic] of Object.entries(TOPICS)) {
    const subtopics = writeSubtopics(wishFor(language, topic), 15)
    t.equal(new Set(subtopics.map((subtopic) => subtopic.toLowerCase())).size, 15, language)
    t.ok(subtopics.every((subtopic) => subtopic.split(/\s+/).length <= 8))
    t.ok(
      subtopics.some((subtopic) => subtopic.includes(topic)),
      'some name the topic',
    )
    t.notMatch(subtopics.join(), /[{}]/)
    if (SCRIPTS[language]) t.ok(subtopics.every((subtopic) => SCRIPTS[language]?.test(subtopic)))
  }
  t.end()
})

t.test('keeps subtopics short even for a topic of 500 letters', (t) => {
  for (const topic of ['word '.repeat(100), 'x'.repeat(500), '光'.repeat(500)]) {
    const subtopics = writeSubtopics(wishFor('en', topic), 40)
    t.ok(subtopics.every((subtopic) => subtopic.split(/\s+/).length <= 9 && subtopic.length < 100))
    t.equal(new Set(subtopics).size, 40, 'and never repeats one')
  }
  t.end()
})

t.test('explains on topic, in the asked length, in whole sentences', (t) => {
  for (const [language, topic] of Object.entries(TOPICS)) {
    for (const words of [100, 150, 300, 600]) {
      const { explanation, real_world_application, youtube_search_query } = writeExplanation(
        wishFor(language, topic, words),
      )
      const length = countWords(explanation)
      t.ok(Math.abs(length - words) < words * 0.2, `${language}: ${length} words instead of ${words}`)
      t.ok(explanation.includes(`${topic} 1`) && real_world_application.includes(topic))
      t.match(explanation, /[.。]$/)
      t.notMatch(`${explanation}${real_world_application}${youtube_search_query}`, /[{}#*]/)
      const sentences = explanation.split(/(?<=[.?。？])\s*/u).filter(Boolean)
      t.equal(new Set(sentences).size, sentences.length, 'no sentence twice')
      t.ok(youtube_search_query.split(' ').length <= 8, youtube_search_query)
    }
  }
  t.end()
})

t.test('the same prompt gives the same text, another topic a clearly different one', (t) => {
  t.same(writeExplanation(wishFor('en', 'Rome')), writeExplanation(wishFor('en', 'Rome')))
  const rome = writeSubtopics(wishFor('en', 'Rome'), 15)
  t.same(rome, writeSubtopics(wishFor('en', 'Rome'), 15))
  const cells = writeSubtopics(wishFor('en', 'Cell biology'), 15)
  const shared = rome.filter((subtopic) => cells.includes(subtopic))
  t.ok(shared.length < 8, `${shared.length} of 15 are shared`)
  t.end()
})

t.test('names subtopics of the field that an English topic belongs to', (t) => {
  const about = (topic: string) => writeSubtopics(wishFor('en', topic), 15).join('\n')
  t.match(about('Quantum physics'), /Quantum physics/)
  t.match(about('The French Revolution'), /Battles|Rulers|Timeline|Trade routes/)
  t.notMatch(about('The French Revolution'), /biodiversity|enzymes/, 'a revolution is no evolution')
  t.notMatch(about('Knitting'), /Battles|Rulers|enzymes|Data structures/)
  for (const { words, subtopics } of languagePack('en').fields ?? []) {
    t.notOk(words.global, 'a global pattern would remember its last match')
    t.ok(subtopics.length >= 9)
  }
  t.end()
})

t.test('a language without its own sentences is answered in English', (t) => {
  t.match(writeExplanation(wishFor('tlh', 'Rome')).explanation, / the /)
  t.end()
})
