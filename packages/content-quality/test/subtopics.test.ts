import t from 'tap'
import { checkSubtopics } from '../src/index.ts'
import { subtopicsIn } from './examples.ts'

const context = { topic: 'Photosynthesis', expectedCount: 15 }
const fifteen = subtopicsIn.en ?? []

for (const [language, subtopics] of Object.entries(subtopicsIn)) {
  t.test(`accepts fifteen good subtopics as they are (${language})`, (t) => {
    const report = checkSubtopics(subtopics, context)
    t.same(report.accepted, subtopics)
    t.match(report, { passed: true, score: 1, issues: [], warnings: [] })
    t.end()
  })
}

t.test('cleans numbering, bullets, bold and quotes', (t) => {
  const dressed = fifteen.map((subtopic, i) => `${i + 1}. **${subtopic}**`)
  t.match(checkSubtopics(dressed, context), { passed: true, score: 1, accepted: fifteen })
  t.end()
})

t.test('leaves out exact and near duplicates, keeps the first, and says so', (t) => {
  const list = [
    'Neural networks',
    'neural network',
    'NEURAL-NETWORKS.',
    'Impact of climate change',
    'Climate change impact',
  ]
  const report = checkSubtopics(list, { topic: 'AI', expectedCount: 2 })
  t.same(report.accepted, ['Neural networks', 'Impact of climate change'])
  t.equal(report.passed, true)
  t.same(report.warnings, ['3 duplicate subtopics were left out.'])
  t.ok(report.score < 1)
  t.end()
})

t.test('what only looks alike is no duplicate', (t) => {
  const list = [
    'Supervised learning',
    'Unsupervised learning',
    'Type 1 diabetes',
    'Type 2 diabetes',
    'World War I',
    'World War II',
    'C',
    'C++ language',
    'C# language',
    'Microeconomics',
    'Macroeconomics',
    'かき文化',
    'かぎ文化',
  ].filter((subtopic) => subtopic.length > 2)
  t.same(checkSubtopics(list, { topic: 'Everything', expectedCount: list.length }).accepted, list)
  t.end()
})

t.test('leaves out what is too short, too long, blank or a refusal', (t) => {
  const bad = [
    '',
    '  ',
    'AI',
    '--',
    "I'm sorry, but I can't help with that.",
    'This is a whole sentence about how plants take light and turn it into sugar',
  ]
  const report = checkSubtopics([...fifteen, ...bad], context)
  t.same(report.accepted, fifteen)
  t.equal(report.passed, true)
  t.same(report.warnings, ['6 entries that are no subtopics were left out.'])
  t.end()
})

t.test('a subtopic over eight words is kept and lowers the score', (t) => {
  const long = "L'impact de l'intelligence artificielle sur le marché du travail"
  const report = checkSubtopics([...fifteen.slice(1), long], context)
  t.ok(report.accepted.includes(long))
  t.equal(report.passed, true)
  t.same(report.warnings, ['1 subtopic is longer than 8 words.'])
  t.ok(report.score < 1)
  t.end()
})

t.test('somewhat fewer than asked for is a warning, far fewer an issue', (t) => {
  const twelve = checkSubtopics(fifteen.slice(0, 12), context)
  t.equal(twelve.passed, true)
  t.same(twelve.warnings, ['There are 12 subtopics instead of 15.'])
  const nine = checkSubtopics(fifteen.slice(0, 9), context)
  t.equal(nine.passed, false)
  t.same(
    nine.issues.map(({ type }) => type),
    ['too_few'],
  )
  t.ok(nine.score < twelve.score)
  t.end()
})

t.test('nothing at all, or only a refusal, is not fit to show', (t) => {
  t.same(
    checkSubtopics([], context).issues.map(({ type }) => type),
    ['empty'],
  )
  const refused = checkSubtopics(['As an AI language model, I cannot list subtopics for this.'], context)
  t.same(
    refused.issues.map(({ type }) => type),
    ['empty', 'refusal'],
  )
  t.equal(refused.score, 0)
  t.end()
})

t.test('says when a subtopic only repeats the topic', (t) => {
  const report = checkSubtopics([...fifteen.slice(1), 'photosynthesis'], context)
  t.equal(report.passed, true)
  t.same(report.warnings, ['One subtopic only repeats the topic.'])
  t.end()
})

t.test('even one duplicate among hundreds lowers the score', (t) => {
  const many = Array.from({ length: 400 }, (_, i) => `Part number ${i}`)
  const report = checkSubtopics([...many, 'Part number 7'], { topic: 'Parts', expectedCount: 400 })
  t.same(report.warnings, ['1 duplicate subtopic was left out.'])
  t.equal(report.score, 0.99)
  t.end()
})

t.test('an entry of more than 256 characters is unusable, and a refusal when it begins as one', (t) => {
  t.same(checkSubtopics(['x'.repeat(256)], { topic: 'Letters', expectedCount: 1 }).issues, [])
  const long = checkSubtopics(['x'.repeat(257)], { topic: 'Letters', expectedCount: 1 })
  t.same(
    long.issues.map(({ type }) => type),
    ['empty'],
  )
  const refused = checkSubtopics([`I cannot help with that. ${'x'.repeat(257)}`], {
    topic: 'Letters',
    expectedCount: 1,
  })
  t.same(
    refused.issues.map(({ type }) => type),
    ['empty', 'refusal'],
  )
  t.end()
})

t.test('entries after the first thousand are unusable', (t) => {
  const many = Array.from({ length: 1_002 }, (_, i) => `Part number ${i}`)
  const report = checkSubtopics(many, { topic: 'Parts', expectedCount: 15 })
  t.equal(report.accepted.length, 1_000)
  t.same(report.warnings, ['2 entries that are no subtopics were left out.'])
  t.end()
})
