import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { hasMarkdownHeader, isCutOff } from '../src/explanation.ts'
import { fold, foldMarks } from '../src/folding.ts'
import { checkExplanation, checkSubtopics, checkTopic } from '../src/index.ts'
import { cleanPhrase, withoutNumbering } from '../src/phrase-cleaning.ts'
import { isRefusal } from '../src/refusals.ts'
import { isNoAnswer, isSentence } from '../src/topic.ts'
import { phraseKey, scriptFits, topicality } from '../src/topicality.ts'
import { mostContentWords, sentences, wordCounts } from '../src/words.ts'

const size = 65_536
const small = size / 8
const maxMs = 50

// Every character of the sources that is neither letter nor digit: all separators and marks that a pattern mentions are among
// them. Then one of each class: white space, scripts, digits, marks, jamo, surrogate pairs.
const sources = readdirSync(new URL('../src/', import.meta.url)).map((file) =>
  readFileSync(new URL(`../src/${file}`, import.meta.url), 'utf8'),
)
const characters = new Set([
  ...(sources.join('').match(/[^\p{L}\p{N}]/gu) ?? []),
  ...'\t\r\u0085\u00a0\u2028\u2029\u3000',
  ...'aAséßİا光的あカーกລខမהא가ㄱ𝐀🙂',
  ...'1٣①',
  ...'\u0301\u0640\u05b0\u064b\u3099ﾞ\u200d\ud800',
  '\u0301\u0316',
  '\u20d0\u20e8',
  'ﾞ\u0301',
  ' ,',
  '. ',
  'a ',
  '\n-',
])

// A run that ends the text is cheap to match: what follows makes a pattern try again.
const endings = ['x', '\nx', 'x? One more.']

const context = { topic: 'Photosynthesis', subtopic: 'Light', language: 'en' }
const checks: [name: string, check: (text: string) => unknown, beginnings: string[]][] = [
  ['isRefusal', isRefusal, ['', 'Sorry', 'Sorry but', 'I cannot ', 'As an AI']],
  ['cleanPhrase', cleanPhrase, ['', 'x', '**', '"', 'x.']],
  ['withoutNumbering', (text) => withoutNumbering([text]), ['', '1', '**1']],
  ['isSentence', isSentence, ['', 'x.', 'this image shows']],
  ['isNoAnswer', isNoAnswer, ['', 'unable to see', 'none']],
  ['hasMarkdownHeader', hasMarkdownHeader, ['', 'x\n', 'x\n===', '#']],
  ['isCutOff', isCutOff, ['', 'x.']],
  ['fold', fold, ['', 'x']],
  ['phraseKey', phraseKey, ['']],
  ['sentences', sentences, ['', 'x.']],
  ['wordCounts', wordCounts, ['']],
  ['mostContentWords', mostContentWords, ['']],
  ['topicality', (text) => topicality(foldMarks(text), context), ['', 'x']],
  ['scriptFits', (text) => scriptFits(foldMarks(text), 'en'), ['']],
  ['checkExplanation', (text) => checkExplanation(text, context), ['']],
  ['checkTopic', (text) => checkTopic(text, context), ['']],
  ['checkSubtopics', (text) => checkSubtopics([text], { topic: 'x', expectedCount: 1 }), ['']],
]

function cpuMs(work: () => unknown): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

/** At most `maxMs`. Where a busy machine takes longer: eight times the text in about eight times the time, not in 64 times. */
function isLinear(work: (length: number) => unknown): boolean {
  if (cpuMs(() => work(size)) <= maxMs) return true
  const least = (length: number) => Math.min(...Array.from({ length: 3 }, () => cpuMs(() => work(length))))
  const ms = least(size)
  return ms <= maxMs || (ms <= 10 * maxMs && ms <= 24 * Math.max(1, least(small)))
}

for (const [name, check, beginnings] of checks) {
  t.test(`${name} takes linear time on ${size} of any character`, (t) => {
    t.equal(firstSlow(check, beginnings), undefined)
    t.end()
  })
}

function firstSlow(check: (text: string) => unknown, beginnings: string[]): string | undefined {
  for (const beginning of beginnings) {
    for (const ending of endings) {
      for (const character of characters) {
        const texts = [size, small].map((length) => beginning + character.repeat(length / character.length) + ending)
        if (!isLinear((length) => check(texts[length === size ? 0 : 1] ?? ''))) {
          return JSON.stringify([beginning, [...character].map((part) => part.codePointAt(0)?.toString(16)), ending])
        }
      }
    }
  }
  return undefined
}
