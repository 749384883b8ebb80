import { boldMark, letter, number, otherSpace, survey, traitsAt } from './characters.ts'

const circledOrBullet = /^(?:[①-⑳•·‣▪◦●○■□➤►・]\s*|[-*+–—>]\s+|#{1,6}\s+)/u
const numbering = /^[([（【]?\s*(\p{Nd}{1,3})\s*[.．)\]:：、）】-](?!\p{Nd})\s*/u
const closingQuotes = new Map([
  ['"', '"'],
  ["'", "'"],
  ['`', '`'],
  ['“', '”'],
  ['„', '“'],
  ['‘', '’'],
  ['«', '»'],
  ['「', '」'],
  ['『', '』'],
])
const bold = /\*\*([^*]+)\*\*|__([^_]+)__/g
const stop = /[\s.,;:。、；：،؛．]/
const abbreviation = /(?:\.[^.]*|(?:^|\s)\p{L}{1,2})\.$/u

/** A phrase as a person would write it: one line, no bullet, bold, quotes around it or stop after it. */
export function cleanPhrase(text: string): string {
  const line = oneLine(text)
  if (isPlain(line)) return line
  let cleaned = line.replace(circledOrBullet, '')
  if (cleaned.includes('**') || cleaned.includes('__')) cleaned = cleaned.replace(bold, '$1$2')
  cleaned = unquote(cleaned.trim())
  return withoutStop(cleaned).trim()
}

/** True for most phrases: one that starts with a letter, ends with a letter or digit and has nothing bold is clean. */
function isPlain(line: string): boolean {
  const last = traitsAt(line, line.length - 1)
  return (traitsAt(line, 0) & letter) > 0 && (last & (letter | number)) > 0 && !(survey(line).traits & boldMark)
}

/** Trimmed, with a single space for any run of white space. */
export function oneLine(text: string): string {
  const trimmed = text.trim()
  return trimmed.includes('  ') || survey(trimmed).traits & otherSpace ? trimmed.replace(/\s+/g, ' ') : trimmed
}

/**
 * Removes the numbers of a numbered list. Only when most entries count up from 0 or 1: "20. Jahrhundert" is not number four,
 * and "3D printing" or "1984 (novel)" keep theirs.
 */
export function withoutNumbering(entries: readonly string[]): string[] {
  const numbers = entries.map(numberOf)
  if (numbers.every((found) => found === undefined)) return [...entries]
  for (const first of [1, 0]) {
    const isNumbered = (i: number) => numbers[i] === first + i
    const count = entries.filter((_, i) => isNumbered(i)).length
    if (count > 0 && count >= entries.length / 2) {
      return entries.map((entry, i) => (isNumbered(i) ? withoutBold(entry).replace(numbering, '') : entry))
    }
  }
  return [...entries]
}

/** Without the bold marks around a number, or around a whole entry. */
function withoutBold(entry: string): string {
  const trimmed = entry.trim()
  if (!trimmed.includes('**')) return trimmed
  return trimmed.replace(/^\*\*(?=\p{Nd})/u, '').replace(/\*\*$/u, '')
}

function numberOf(entry: string): number | undefined {
  if (traitsAt(entry, 0) & letter) return undefined
  const digits = withoutBold(entry).match(numbering)?.[1]
  return digits === undefined ? undefined : Number([...digits].map(digitValue).join(''))
}

// The decimal digits of every script are ten consecutive code points, with none before the zero.
function digitValue(digit: string): number {
  let zero = digit.codePointAt(0) ?? 0
  const value = zero
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1)) && value - zero < 9) zero -= 1
  return value - zero
}

function unquote(text: string): string {
  const open = text.charAt(0)
  const close = closingQuotes.get(open)
  if (close === undefined || text.length <= 2 || !text.endsWith(close)) return text
  const inner = text.slice(1, -1)
  return inner.includes(open) || inner.includes(close) ? text : inner.trim()
}

// "U.S." and "Martin Luther King Jr." keep their stop. A loop, since /[…]+$/ takes quadratic time on a run inside the text.
function withoutStop(text: string): string {
  let end = text.length
  while (end > 0 && stop.test(text.charAt(end - 1))) end -= 1
  return end === text.length || abbreviation.test(text) ? text : text.slice(0, end)
}
