import { foldable, joining, survey, traitsAt } from './characters.ts'

// Marks that a writer may leave out: Latin accents, Hebrew points, Arabic vowels, hamza and tatweel. Kana marks stay.
const optionalMarks = /[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0640]/g

// Normalization sorts the marks of one letter in quadratic time. No script needs more than 30 (UAX #15, Stream-Safe Text).
const tooManyMarks = /([\p{M}\uff9e\uff9f]{30})[\p{M}\uff9e\uff9f]+/gu

const unified = new Map([
  ['ى', 'ي'],
  ['ة', 'ه'],
])

const foldedCharacters = new Map<string, string>()

/** One form for comparing: compatibility characters, apostrophes and Arabic endings unified, optional marks removed. */
export function foldMarks(text: string): string {
  const { traits } = survey(text)
  if (!(traits & foldable)) return text
  return traits & joining ? foldJoined(text.replace(tooManyMarks, '$1')) : foldEach(text)
}

/** `foldMarks` in lower case. */
export function fold(text: string): string {
  return foldMarks(text).toLowerCase()
}

function foldJoined(text: string): string {
  return text
    .normalize('NFKD')
    .replace(optionalMarks, '')
    .normalize('NFKC')
    .replace(/[’‘ʼ`´ىة]/g, (character) => unified.get(character) ?? "'")
}

/** The same as `foldJoined` where no character joins another, without normalizing the whole text twice. */
function foldEach(text: string): string {
  let folded = ''
  let from = 0
  for (let at = 0; at < text.length; at += 1) {
    if (!(traitsAt(text, at) & foldable)) continue
    const character = String.fromCodePoint(text.codePointAt(at) ?? 0)
    folded += text.slice(from, at) + foldCharacter(character)
    from = at + character.length
  }
  return folded + text.slice(from)
}

function foldCharacter(character: string): string {
  const known = foldedCharacters.get(character)
  if (known !== undefined) return known
  const folded = foldJoined(character)
  foldedCharacters.set(character, folded)
  return folded
}
