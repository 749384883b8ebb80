const circledOrBullet = /^(?:[①-⑳•·‣▪◦●○■□➤►・]\s*|[-*+–—>]\s+|#{1,6}\s+)/u
const numbering = /^[([（【]?\s*(\p{Nd}{1,3})\s*[.．)\]:：、）】-](?!\p{Nd})\s*/u
const pairs: readonly (readonly [string, string])[] = [
  ['"', '"'],
  ["'", "'"],
  ['`', '`'],
  ['“', '”'],
  ['„', '“'],
  ['‘', '’'],
  ['«', '»'],
  ['「', '」'],
  ['『', '』'],
]

/** A phrase as a person would write it: one line, no bullet, bold, quotes around it or stop after it. */
export function cleanPhrase(text: string): string {
  let cleaned = text.trim().replace(/\s+/g, ' ')
  cleaned = cleaned.replace(circledOrBullet, '')
  cleaned = cleaned.replace(/\*\*([^*]+)\*\*|__([^_]+)__/g, '$1$2')
  cleaned = unquote(cleaned.trim())
  return withoutStop(cleaned).trim()
}

/**
 * Takes the numbers off a numbered list. Only when most entries count up from 0 or 1: "20. Jahrhundert" is no number four,
 * and "3D printing" or "1984 (novel)" keep theirs.
 */
export function withoutNumbering(entries: readonly string[]): string[] {
  for (const first of [1, 0]) {
    const numbered = entries.map((entry, i) => numberOf(entry) === first + i)
    const count = numbered.filter(Boolean).length
    if (count > 0 && count >= entries.length / 2) {
      return entries.map((entry, i) => (numbered[i] ? bare(entry).replace(numbering, '') : entry))
    }
  }
  return [...entries]
}

function bare(entry: string): string {
  return entry
    .trim()
    .replace(/^\*\*(?=\p{Nd})/u, '')
    .replace(/\*\*$/u, '')
}

function numberOf(entry: string): number | undefined {
  const digits = bare(entry).match(numbering)?.[1]
  return digits === undefined ? undefined : Number([...digits].map(digitValue).join(''))
}

// Every script's decimal digits are ten code points in a row, with none before the zero.
function digitValue(digit: string): number {
  let zero = digit.codePointAt(0) ?? 0
  const value = zero
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1)) && value - zero < 9) zero -= 1
  return value - zero
}

function unquote(text: string): string {
  for (const [open, close] of pairs) {
    const inner = text.slice(open.length, -close.length)
    if (
      text.length > 2 &&
      text.startsWith(open) &&
      text.endsWith(close) &&
      !inner.includes(open) &&
      !inner.includes(close)
    ) {
      return inner.trim()
    }
  }
  return text
}

// "U.S." and "Martin Luther King Jr." keep their stop.
function withoutStop(text: string): string {
  const abbreviated = /(?:\.[^.]*|(?:^|\s)\p{L}{1,2})\.$/u.test(text)
  return abbreviated ? text : text.replace(/[\s.,;:。、；：،؛．]+$/u, '')
}
