import { Findings } from './findings.ts'
import { cleanPhrase, withoutNumbering } from './phrase-cleaning.ts'
import { isRefusal } from './refusals.ts'
import { phraseKey } from './topicality.ts'
import type { QualityReport } from './types.ts'
import { countContentWords, countLetters } from './words.ts'

const minLetters = 3
const maxWords = 8
/** Beyond this an entry is a sentence and not a subtopic. */
const unusableWords = 12
/** "About 15": fewer than this share of what was asked for is not an answer. */
const minShare = 2 / 3

interface Sorted {
  accepted: string[]
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
  warnOfStyle(findings, accepted, context.topic)
  return { ...findings.report(), accepted }
}

function sortOut(subtopics: string[]): Sorted {
  const sorted: Sorted = { accepted: [], duplicates: 0, unusable: 0, refusals: 0 }
  const seen = new Set<string>()
  for (const entry of withoutNumbering(subtopics.filter((subtopic) => subtopic.trim() !== ''))) {
    const subtopic = cleanPhrase(entry)
    const key = phraseKey(subtopic)
    if (isRefusal(entry)) sorted.refusals += 1
    if (isRefusal(entry) || countLetters(subtopic) < minLetters || countContentWords(subtopic) > unusableWords)
      sorted.unusable += 1
    else if (seen.has(key)) sorted.duplicates += 1
    else {
      seen.add(key)
      sorted.accepted.push(subtopic)
    }
  }
  sorted.unusable += subtopics.filter((subtopic) => subtopic.trim() === '').length
  return sorted
}

function warnOfStyle(findings: Findings, accepted: string[], topic: string): void {
  const long = accepted.filter((subtopic) => countContentWords(subtopic) > maxWords).length
  if (long > 0)
    findings.warn(
      `${count(long, 'subtopic is', 'subtopics are')} longer than ${maxWords} words.`,
      (0.5 * long) / accepted.length,
    )
  const topicKey = phraseKey(topic)
  if (accepted.some((subtopic) => phraseKey(subtopic) === topicKey)) {
    findings.warn('One subtopic only repeats the topic.', 0.5 / accepted.length)
  }
}

function count(n: number, one: string, many: string): string {
  return `${n} ${n === 1 ? one : many}`
}
