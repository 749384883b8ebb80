// The dictionary and rules for every script come with ICU; the locale given here changes nothing that we use.
const wordSegmenter = new Intl.Segmenter('en', { granularity: 'word' })
const sentenceSegmenter = new Intl.Segmenter('en', { granularity: 'sentence' })

// Scripts written without spaces between words.
const unspaced =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u
const wordCharacter = /[\p{L}\p{N}]/u

// Marks that a writer may leave out: Latin accents, Hebrew points, Arabic vowels, hamza and tatweel. Kana marks stay.
const optionalMarks = /[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0640]/g

// Japanese particles and endings are written in hiragana alone; these are Chinese function words.
const grammarOnly =
  /^(?:\p{Script=Hiragana}+|[的地得在中与與和及之对對了是从從到于於而或以为為有等个個被把将將其]{1,2})$/u

/** One form for comparing: compatibility characters, apostrophes and Arabic endings unified, optional marks removed. */
export function foldMarks(text: string): string {
  const plain = text.normalize('NFKD').replace(optionalMarks, '').normalize('NFKC')
  return plain
    .replace(/[’‘ʼ`´]/g, "'")
    .replace(/ى/g, 'ي')
    .replace(/ة/g, 'ه')
}

/** `foldMarks` in lower case. */
export function fold(text: string): string {
  return foldMarks(text).toLowerCase()
}

/** The word-like segments, in order: words, or dictionary words where a script has no spaces. */
export function segments(text: string): string[] {
  return [...wordSegmenter.segment(text)].filter((part) => part.isWordLike).map((part) => part.segment)
}

/** Words for a lower bound: tokens between spaces, and each dictionary word in scripts without spaces. */
export function countWords(text: string): number {
  return countTokens(text, () => true)
}

/** Words for an upper bound: as countWords, but without the particles that other languages write as part of a word. */
export function countContentWords(text: string): number {
  return countTokens(text, (segment) => !grammarOnly.test(segment))
}

export function sentences(text: string): string[] {
  return [...sentenceSegmenter.segment(text)]
    .map((part) => part.segment.trim())
    .filter((part) => wordCharacter.test(part))
}

/** Letters and digits; a Han character or kana says as much as two of an alphabet's. */
export function countLetters(text: string): number {
  let count = 0
  for (const character of text) {
    if (unspaced.test(character)) count += 2
    else if (wordCharacter.test(character)) count += 1
  }
  return count
}

/** True for a particle, an ending or a function word of Japanese or Chinese. */
export function isGrammarOnly(segment: string): boolean {
  return grammarOnly.test(segment)
}

export function isUnspaced(text: string): boolean {
  return unspaced.test(text)
}

function countTokens(text: string, counts: (segment: string) => boolean): number {
  let count = 0
  for (const token of text.split(/\s+/)) {
    if (unspaced.test(token)) count += segments(token).filter(counts).length
    else if (wordCharacter.test(token)) count += 1
  }
  return count
}
