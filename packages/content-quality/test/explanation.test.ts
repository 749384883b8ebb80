import t from 'tap'
import { checkExplanation } from '../src/index.ts'
import { acrossLanguages, explanations, offTopic } from './examples.ts'

const context = { topic: 'Photosynthesis', subtopic: 'Light reactions', language: 'en' }
const good = explanations[0]?.text ?? ''
const types = (text: string) => checkExplanation(text, context).issues.map(({ type }) => type)

for (const { text, ...about } of explanations) {
  t.test(`finds nothing wrong with a good explanation (${about.language}: ${about.subtopic})`, (t) => {
    t.same(checkExplanation(text, about), { score: 1, passed: true, issues: [], warnings: [] })
    t.end()
  })
}

for (const { text, ...about } of acrossLanguages) {
  t.test(
    `an explanation in another language than its topic is fit to show (${about.language}: ${about.topic})`,
    (t) => {
      const report = checkExplanation(text, about)
      t.same(report.issues, [])
      t.equal(report.warnings.length, 1)
      t.ok(report.score < 1)
      t.end()
    },
  )
}

for (const { text, ...about } of offTopic) {
  t.test(`an explanation of something else is not fit to show (${about.language})`, (t) => {
    const report = checkExplanation(text, about)
    t.same(
      report.issues.map(({ type }) => type),
      ['off_topic'],
    )
    t.equal(report.passed, false)
    t.end()
  })
}

t.test('nothing readable is empty', (t) => {
  for (const text of ['', '   \n', '…!', '***']) t.same(types(text), ['empty'])
  t.end()
})

t.test('fewer than twenty words are too short', (t) => {
  t.same(types('Light reactions split water. They release oxygen.'), ['too_short'])
  t.same(types(`Light ${'word '.repeat(18)}.`), ['too_short'])
  t.same(types(`Light ${'word '.repeat(19)}.`), [])
  t.end()
})

t.test('more than five hundred words are a warning, more than a thousand an issue', (t) => {
  const essay = (words: number) =>
    Array.from({ length: words / 10 }, (_, i) => `Light reaction number ${i} makes some sugar for plants today.`).join(
      ' ',
    )
  t.same(checkExplanation(essay(500), context).warnings, [])
  const long = checkExplanation(essay(510), context)
  t.equal(long.passed, true)
  t.same(long.warnings, ['The explanation is longer than 500 words.'])
  t.same(types(essay(1010)), ['too_long'])
  t.end()
})

t.test('a refusal is an issue, wherever it stands', (t) => {
  t.ok(types(`As an AI language model, I cannot explain this. ${good}`).includes('refusal'))
  t.ok(types(`${good} However, as an AI, I cannot say more about the light reactions.`).includes('refusal'))
  t.end()
})

t.test('a single sentence is a warning', (t) => {
  const one =
    'The light reactions of photosynthesis split water with the energy of the sun and set free oxygen while they fill ATP and NADPH for the next stage.'
  const report = checkExplanation(one, context)
  t.equal(report.passed, true)
  t.same(report.warnings, ['The explanation is a single sentence.'])
  t.end()
})

t.test('Markdown headings are a warning; a hash inside a line is not', (t) => {
  for (const text of [`# Light\n\n${good}`, `Light\n=====\n\n${good}`, `${good}\n\n### More\n\nLight is good.`]) {
    t.same(checkExplanation(text, context).warnings, ['The explanation contains Markdown headings.'], text)
  }
  t.same(checkExplanation(`${good} C# and #1 have nothing to do with it.`, context).warnings, [])
  t.end()
})

t.test('a text that stops in the middle is a warning', (t) => {
  t.same(checkExplanation(`${good} The next stage is`, context).warnings, ['The explanation seems to be cut off.'])
  t.end()
})

t.test('a text in another script than its language is a warning', (t) => {
  const report = checkExplanation(good, { ...context, language: 'he' })
  t.equal(report.passed, true)
  t.same(report.warnings, ['The explanation seems to be in another language.'])
  t.end()
})

t.test('a model that loops is an issue', (t) => {
  t.same(types('Light makes sugar in plants. '.repeat(12)), ['repetitive'])
  t.end()
})

t.test('a topic without a significant word cannot be off topic', (t) => {
  for (const topic of ['', '?', 'The', 'of']) {
    t.same(checkExplanation(good, { topic, subtopic: '', language: 'en' }).issues, [])
  }
  t.end()
})

t.test('takes any language tag', (t) => {
  for (const language of ['en-US', 'EN', 'zh-Hans-CN', '', '!!', 'klingon']) {
    t.equal(checkExplanation(good, { ...context, language }).passed, true, language)
  }
  t.end()
})

t.test('a text of more than 16,384 characters is too long, whatever else it is', (t) => {
  const words = `Light reactions need words. ${'w'.repeat(16_384)}`
  t.not(types(words.slice(0, 16_384))[0], 'too_long')
  t.same(checkExplanation(`I cannot help. ${words}`, context), {
    score: 0.4,
    passed: false,
    issues: [{ type: 'too_long', message: 'The explanation has more than 16384 characters.' }],
    warnings: [],
  })
  t.end()
})

t.test('"A.I." is no end of a sentence', (t) => {
  t.ok(types(`As an A.I. language model, I cannot explain this. ${good}`).includes('refusal'))
  t.end()
})
