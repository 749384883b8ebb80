import { survey } from './characters.ts'
import { Findings } from './findings.ts'
import { fold } from './folding.ts'
import { cleanPhrase, withoutNumbering } from './phrase-cleaning.ts'
import { isRefusal } from './refusals.ts'
import { phraseKey } from './topicality.ts'
import type { QualityReport } from './types.ts'
import { contentWordsAbove, sentences } from './words.ts'

const minLetters = 3
const maxWords = 8
/** An entry with more words is a sentence and not a subtopic. */
const unusableWords = 12
/** A longer entry is unusable; only this much of it is searched for a refusal. With `maxEntries` it bounds the work. */
const maxCharacters = 256
/** Entries after these are unusable. */
const maxEntries = 1_000
/** Fewer than this share of the requested number is not an answer. */
const minShare = 2 / 3

interface Sorted {
  accepted: string[]
  /** How many of the accepted have more than `maxWords` words. */
  long: number
  /** The keys of the accepted: an entry with one of them is a duplicate. */
  keys: Set<string>
  duplicates: number
  unusable: number
  refusals: number
}

/** Checks generated subtopics; `accepted` are those fit to show, cleaned, in their order, and possibly more than expected. */
export function checkSubtopics(
  subtopics: string[],
  context: { topic: string; expectedCount: number },
): QualityReport & { accepted: string[] } {
  const findings = new Findings()
  const sorted = sortOut(subtopics)
  const { accepted, duplicates, unusable, refusals } = sorted
  const expected = Math.max(1, context.expectedCount)
  const given = Math.max(1, subtopics.length)

  if (accepted.length === 0) findings.issue('empty', 'There is no usable subtopic.')
  else if (accepted.length < expected * minShare) {
    findings.issue('too_few', `Only ${accepted.length} of ${expected} subtopics are usable.`)
  } else if (accepted.length < expected) {
    findings.warn(`There are ${accepted.length} subtopics instead of ${expected}.`, 1 - accepted.length / expected)
  }
  if (refusals > 0 && accepted.length < expected * minShare) {
    findings.issue('refusal', 'The model refused to name subtopics.')
  }
  if (duplicates > 0)
    findings.warn(
      `${count(duplicates, 'duplicate subtopic was', 'duplicate subtopics were')} left out.`,
      (0.5 * duplicates) / given,
    )
  if (unusable > 0)
    findings.warn(
      `${count(unusable, 'entry that is no subtopic was', 'entries that are no subtopics were')} left out.`,
      (0.5 * unusable) / given,
    )
  warnOfStyle(findings, sorted, context.topic)
  return { ...findings.report(), accepted }
}

function sortOut(subtopics: string[]): Sorted {
  const sorted: Sorted = { accepted: [], long: 0, keys: new Set(), duplicates: 0, unusable: 0, refusals: 0 }
  const entries = subtopics.slice(0, maxEntries).filter((subtopic) => subtopic.trim() !== '')
  sorted.unusable = subtopics.length - entries.length
  for (const entry of withoutNumbering(entries)) sortOne(sorted, entry)
  return sorted
}

function sortOne(sorted: Sorted, entry: string): void {
  const start = entry.slice(0, maxCharacters)
  const subtopic = cleanPhrase(start)
  const folded = fold(subtopic)
  const foldedSentences = sentences(start).map((sentence) => (sentence === subtopic ? folded : fold(sentence)))
  const refuses = isRefusal(start, foldedSentences)
  const { letters } = survey(subtopic)
  const words = contentWordsAbove(subtopic, maxWords)
  if (refuses) sorted.refusals += 1
  if (refuses || entry.length > maxCharacters || words > unusableWords || letters < minLetters) {
    sorted.unusable += 1
    return
  }
  const key = phraseKey(folded)
  if (sorted.keys.has(key)) {
    sorted.duplicates += 1
    return
  }
  sorted.keys.add(key)
  sorted.accepted.push(subtopic)
  if (words > maxWords) sorted.long += 1
}

function warnOfStyle(findings: Findings, { accepted, keys, long }: Sorted, topic: string): void {
  if (long > 0)
    findings.warn(
      `${count(long, 'subtopic is', 'subtopics are')} longer than ${maxWords} words.`,
      (0.5 * long) / accepted.length,
    )
  if (keys.has(phraseKey(fold(topic)))) {
    findings.warn('One subtopic only repeats the topic.', 0.5 / accepted.length)
  }
}

function count(n: number, one: string, many: string): string {
  return `${n} ${n === 1 ? one : many}`
}
