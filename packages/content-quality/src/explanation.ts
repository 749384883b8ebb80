import { Findings } from './findings.ts'
import { isRefusal } from './refusals.ts'
import { scriptFits, topicality } from './topicality.ts'
import type { QualityReport } from './types.ts'
import { countContentWords, countWords, fold, sentences } from './words.ts'

const minWords = 20
const maxWords = 500
/** Beyond this it is no explanation any more, but an essay that nobody asked for. */
const unusableWords = 2 * maxWords
const minSentences = 2
const markdownHeader = /^ {0,3}(?:#{1,6}\s|[^\n]+\n(?:={3,}|-{3,})\s*$)/mu
const finished = /[\p{Sentence_Terminal}…:;؛)\]}»”"'’」』】）*`~_|>]\s*$/u

/** Checks one generated explanation of a subtopic; `language` is the BCP 47 tag it was asked for in. */
export function checkExplanation(
  text: string,
  context: { topic: string; subtopic: string; language: string },
): QualityReport {
  const findings = new Findings()
  if (countWords(text) === 0) {
    findings.issue('empty', 'The explanation is empty.')
    return findings.report()
  }
  if (isRefusal(text)) findings.issue('refusal', 'The model refused to explain this.')
  checkLength(findings, text)
  checkForm(findings, text)
  checkSubject(findings, text, context)
  return findings.report()
}

function checkLength(findings: Findings, text: string): void {
  const words = countContentWords(text)
  if (countWords(text) < minWords) findings.issue('too_short', `The explanation has fewer than ${minWords} words.`)
  else if (words > unusableWords) findings.issue('too_long', `The explanation has more than ${unusableWords} words.`)
  else if (words > maxWords) findings.warn(`The explanation is longer than ${maxWords} words.`, 0.15)
}

function checkForm(findings: Findings, text: string): void {
  const all = sentences(text)
  if (all.length < minSentences) findings.warn('The explanation is a single sentence.', 0.15)
  if (isRepetitive(all)) findings.issue('repetitive', 'The explanation repeats itself.')
  if (markdownHeader.test(text)) findings.warn('The explanation contains Markdown headings.', 0.1)
  if (!finished.test(text)) findings.warn('The explanation seems to be cut off.', 0.1)
}

function checkSubject(findings: Findings, text: string, context: Parameters<typeof topicality>[1]): void {
  const found = topicality(text, context)
  if (found === 'off_topic') findings.issue('off_topic', 'The explanation mentions neither the topic nor the subtopic.')
  if (found === 'unknown') findings.warn('It could not be seen whether the explanation is about the topic.', 0.05)
  if (!scriptFits(text, context.language)) findings.warn('The explanation seems to be in another language.', 0.3)
}

// Short pieces are left out: "Dr." and headings repeat in good texts too.
function isRepetitive(all: string[]): boolean {
  const long = all.map(fold).filter((sentence) => countWords(sentence) >= 4)
  return long.length >= 4 && new Set(long).size <= long.length / 2
}
