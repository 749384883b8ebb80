import fc from 'fast-check'
import t from 'tap'
import { checkExplanation, checkSubtopics, checkTopic, type QualityReport } from '../src/index.ts'

// Strings of every kind: any code unit (lone surrogates too), whole graphemes, and pieces the checks look for.
const pieces = fc.constantFrom(
  'As an AI, I cannot',
  '# ',
  '1. ',
  '- ',
  '**',
  '"',
  '。',
  'です',
  'لا أستطيع',
  'אני',
  '\n',
  ' ',
  'word',
  '光合成',
  '.',
  '\u0301',
  '(((',
  '\\',
  '١. ',
)
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.array(fc.nat(0xffff), { maxLength: 20 }).map((units) => String.fromCharCode(...units)),
  fc.array(pieces, { maxLength: 60 }).map((parts) => parts.join('')),
)

function sane(report: QualityReport): boolean {
  const inRange = report.score >= 0 && report.score <= 1
  const complained = report.issues.length + report.warnings.length > 0
  return inRange && report.passed === (report.issues.length === 0) && report.score < 1 === complained
}

t.test('any subtopics: never throws, a score in 0..1, nothing invented, nothing twice', (t) => {
  fc.assert(
    fc.property(fc.array(text, { maxLength: 25 }), text, fc.integer(), (subtopics, topic, expectedCount) => {
      const report = checkSubtopics(subtopics, { topic, expectedCount })
      const again = checkSubtopics(report.accepted, { topic, expectedCount: report.accepted.length })
      return (
        sane(report) &&
        report.accepted.length <= subtopics.length &&
        new Set(report.accepted).size === report.accepted.length &&
        again.accepted.length <= report.accepted.length
      )
    }),
    { numRuns: 500 },
  )
  t.end()
})

t.test('any explanation: never throws, a score in 0..1', (t) => {
  fc.assert(
    fc.property(text, text, text, text, (explanation, topic, subtopic, language) =>
      sane(checkExplanation(explanation, { topic, subtopic, language })),
    ),
    { numRuns: 500 },
  )
  t.end()
})

t.test('any topic: never throws, a score in 0..1', (t) => {
  fc.assert(
    fc.property(text, text, (topic, language) => sane(checkTopic(topic, { language }))),
    { numRuns: 500 },
  )
  t.end()
})
