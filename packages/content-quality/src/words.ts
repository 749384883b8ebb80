import {
  asciiWord,
  hiragana,
  letter,
  nonAscii,
  number,
  particle,
  particles,
  sentenceEnd,
  survey,
  traitsAt,
  unspaced,
} from './characters.ts'

// The dictionary and the rules for every script come with ICU; the locale does not change what is used here.
const wordSegmenter = new Intl.Segmenter('en', { granularity: 'word' })
const sentenceSegmenter = new Intl.Segmenter('en', { granularity: 'sentence' })

// Japanese particles and endings are written in hiragana alone.
const grammarOnly = new RegExp(`^(?:\\p{Script=Hiragana}+|[${particles}]{1,2})$`, 'u')

/** The word-like segments, in order: words, or dictionary words where a script has no spaces. */
export function segments(text: string): string[] {
  const words: string[] = []
  for (const part of wordSegmenter.segment(text)) if (part.isWordLike) words.push(part.segment)
  return words
}

export interface WordCounts {
  /** For a lower bound: tokens between spaces, and each dictionary word in scripts without spaces. */
  all: number
  /** For an upper bound: without the particles that other languages write as part of a word. */
  content: number
}

export function wordCounts(text: string): WordCounts {
  const { traits, tokens } = survey(text)
  if (!(traits & unspaced)) return { all: tokens, content: tokens }
  const counts = { all: 0, content: 0 }
  for (const token of text.split(/\s+/)) {
    if (isUnspaced(token)) {
      const words = segments(token)
      counts.all += words.length
      counts.content += words.filter((word) => !grammarOnly.test(word)).length
    } else if (has(token, letter | number)) {
      counts.all += 1
      counts.content += 1
    }
  }
  return counts
}

/** `wordCounts(text).content` when that is over `bound`, else a number that is not: most phrases need no segmenter. */
export function contentWordsAbove(text: string, bound: number): number {
  if (isUnspaced(text)) {
    const most = mostContentWords(text)
    if (most <= bound) return most
  }
  return wordCounts(text).content
}

/**
 * No fewer than `wordCounts(text).content`, without the segmenter: that splits no run of ASCII letters and digits, and any
 * other content word has a character that is not hiragana. One or two particles alone are no content word either.
 */
export function mostContentWords(text: string): number {
  let count = 0
  let pending = 0
  let before = 0
  for (let at = 0; at < text.length; at += 1) {
    const traits = traitsAt(text, at)
    if (traits & particle) pending += 1
    else {
      if (pending > 2 || (before | traits) & hiragana) count += pending
      const isRun = traits & asciiWord && before & asciiWord && pending === 0
      if (!isRun && traits & (asciiWord | nonAscii) && !(traits & hiragana)) count += 1
      pending = 0
      before = traits
    }
  }
  return pending > 2 || before & hiragana ? count + pending : count
}

export function sentences(text: string): string[] {
  const { traits } = survey(text)
  if (!(traits & (letter | number))) return []
  if (!(traits & sentenceEnd)) return [text.trim()]
  const parts: string[] = []
  for (const { segment } of sentenceSegmenter.segment(text)) {
    if (has(segment, letter | number)) parts.push(segment.trim())
  }
  return parts
}

/** True for a particle, an ending or a function word of Japanese or Chinese. */
export function isGrammarOnly(segment: string): boolean {
  return grammarOnly.test(segment)
}

export function isUnspaced(text: string): boolean {
  return has(text, unspaced)
}

function has(text: string, traits: number): boolean {
  return (survey(text).traits & traits) !== 0
}
