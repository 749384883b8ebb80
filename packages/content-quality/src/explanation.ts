import { Findings } from './findings.ts'
import { fold, foldMarks } from './folding.ts'
import { isRefusal } from './refusals.ts'
import { scriptFits, topicality } from './topicality.ts'
import type { QualityReport } from './types.ts'
import { sentences, type WordCounts, wordCounts } from './words.ts'

/** A longer text is not checked any further: this bounds the work, and `unusableWords` words of 16 characters fit. */
const maxCharacters = 16_384
const minWords = 20
const maxWords = 500
/** A text with more words is an essay and not an explanation. */
const unusableWords = 2 * maxWords
const minSentences = 2
const markdownHeader = /^ {0,3}#{1,6}\s|[^\n]\n(?:={3,}|-{3,})\s*$/mu
const finished = /[\p{Sentence_Terminal}…:;؛)\]}»”"'’」』】）*`~_|>]$/u

/** Checks one generated explanation of a subtopic; `language` is the BCP 47 tag of the language that was requested. */
export function checkExplanation(
  text: string,
  context: { topic: string; subtopic: string; language: string },
): QualityReport {
  const findings = new Findings()
  if (text.length > maxCharacters) {
    findings.issue('too_long', `The explanation has more than ${maxCharacters} characters.`)
    return findings.report()
  }
  const words = wordCounts(text)
  if (words.all === 0) {
    findings.issue('empty', 'The explanation is empty.')
    return findings.report()
  }
  const folded = sentences(text).map(fold)
  if (isRefusal(text, folded)) findings.issue('refusal', 'The model refused to explain this.')
  checkLength(findings, words)
  checkForm(findings, text, folded)
  checkSubject(findings, text, context)
  return findings.report()
}

function checkLength(findings: Findings, { all, content }: WordCounts): void {
  if (all < minWords) findings.issue('too_short', `The explanation has fewer than ${minWords} words.`)
  else if (content > unusableWords) findings.issue('too_long', `The explanation has more than ${unusableWords} words.`)
  else if (content > maxWords) findings.warn(`The explanation is longer than ${maxWords} words.`, 0.15)
}

function checkForm(findings: Findings, text: string, foldedSentences: string[]): void {
  if (foldedSentences.length < minSentences) findings.warn('The explanation is a single sentence.', 0.15)
  if (isRepetitive(foldedSentences)) findings.issue('repetitive', 'The explanation repeats itself.')
  if (hasMarkdownHeader(text)) findings.warn('The explanation contains Markdown headings.', 0.1)
  if (isCutOff(text)) findings.warn('The explanation seems to be cut off.', 0.1)
}

export function hasMarkdownHeader(text: string): boolean {
  return markdownHeader.test(text)
}

export function isCutOff(text: string): boolean {
  return !finished.test(text.trimEnd().slice(-2))
}

function checkSubject(findings: Findings, text: string, context: Parameters<typeof topicality>[1]): void {
  const plain = foldMarks(text)
  const found = topicality(plain, context)
  if (found === 'off_topic') findings.issue('off_topic', 'The explanation mentions neither the topic nor the subtopic.')
  if (found === 'unknown') findings.warn('It is not clear whether the explanation is about the topic.', 0.05)
  if (!scriptFits(plain, context.language)) findings.warn('The explanation seems to be in another language.', 0.3)
}

// Short pieces do not count: "Dr." and headings repeat in good texts too.
function isRepetitive(foldedSentences: string[]): boolean {
  if (foldedSentences.length < 4) return false
  const long = foldedSentences.filter((sentence) => wordCounts(sentence).all >= 4)
  return long.length >= 4 && new Set(long).size <= long.length / 2
}
