// What characters are, as bits from a table: a loop over them takes linear time, and a fraction of a regular expression's.
export const letter = 1
export const number = 2
export const mark = 4
const space = 8
/** White space other than a space: `cleanPhrase` replaces it. */
export const otherSpace = 16
/** Of a script written without spaces between words. */
export const unspaced = 32
/** Only after one of these can ICU end a sentence (UAX #29). */
export const sentenceEnd = 64
/** `foldMarks` may change it, alone or together with the character before it. */
export const foldable = 128
export const hiragana = 256
/** Of Markdown's bold text. */
export const boldMark = 512
export const asciiWord = 1024
export const nonAscii = 2048
/** Of `particles`. */
export const particle = 4096
/** Normalization may join it with its neighbours. */
export const joining = 8192
const known = 16384

/** Chinese function words, which other languages often write as part of a word. */
export const particles = '的地得在中与與和及之对對了是从從到于於而或以为為有等个個被把将將其'

const patterns: readonly (readonly [trait: number, RegExp])[] = [
  [letter, /\p{L}/u],
  [number, /\p{N}/u],
  [mark, /\p{M}/u],
  [space, /\s/],
  [otherSpace, /[^\S ]/],
  [
    unspaced,
    /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u,
  ],
  [sentenceEnd, /[\p{Sentence_Terminal}\n\r\u0085\u2028\u2029]/u],
  [hiragana, /\p{Script=Hiragana}/u],
  [boldMark, /[*_]/],
  [asciiWord, /[A-Za-z0-9_]/],
  [nonAscii, /[\u0080-\u{10ffff}]/u],
  [particle, new RegExp(`[${particles}]`, 'u')],
  [foldable, /[’‘ʼ`´ىة\u0591-\u05c7\u0640]/],
]

// Marks, Hangul jamo and a vowel sign of Kirat Rai: Unicode composes nothing else with what stands before it.
const joins = /^\p{M}|[\u1100-\u11ff\u{16d67}]/u

// By code point, and filled as characters come: memory that no character has touched is not used.
const table = new Uint16Array(0x11_0000)

export interface Survey {
  /** The traits that any character of the text has. */
  traits: number
  /** Tokens between white space that have a letter or a digit. */
  tokens: number
  /** Letters and digits; a character of a script without spaces counts as two, since it says as much. */
  letters: number
}

let lastText = ''
let lastSurvey: Survey = { traits: 0, tokens: 0, letters: 0 }

/** One pass over a text; several checks of the same text in a row share it. */
export function survey(text: string): Survey {
  if (text === lastText) return lastSurvey
  let [traits, tokens, letters, isCounted] = [0, 0, 0, false]
  for (let at = 0; at < text.length; at += 1) {
    const found = traitsAt(text, at)
    traits |= found
    if (found & unspaced) letters += 2
    else if (found & (letter | number)) letters += 1
    if (found & space) isCounted = false
    else if (!isCounted && found & (letter | number)) {
      isCounted = true
      tokens += 1
    }
  }
  lastText = text
  lastSurvey = { traits, tokens, letters }
  return lastSurvey
}

/** The traits of the character that starts at a place of the text; none for the second half of a surrogate pair. */
export function traitsAt(text: string, at: number): number {
  // No trait of a surrogate is stored, so that a pair is looked up by its code point.
  return table[text.charCodeAt(at)] || findTraits(text.codePointAt(at) ?? 0)
}

function findTraits(codePoint: number): number {
  if (codePoint >= 0xd800 && codePoint <= 0xdfff) return known
  table[codePoint] ||= classify(String.fromCodePoint(codePoint))
  return table[codePoint]
}

function classify(character: string): number {
  const traits = patterns.reduce((bits, [bit, pattern]) => (pattern.test(character) ? bits | bit : bits), known)
  const decomposed = character.normalize('NFKD')
  if (joins.test(decomposed)) return traits | joining | foldable
  return decomposed === character ? traits : traits | foldable
}
