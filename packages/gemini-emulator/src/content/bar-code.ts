/** How many bars there are, side by side over the whole picture: a guard, 24 bits of the number, 4 bits of its check. */
export const BARS = 32
const GUARD = '1010'
const NUMBER_BITS = 24

/** The bars of a number from 0 to 16,777,215, from left to right; true is black. */
export function barsOf(number: number): boolean[] {
  if (!Number.isInteger(number) || number < 0 || number >= 2 ** NUMBER_BITS)
    throw new RangeError(`a bar code holds a whole number from 0 to ${2 ** NUMBER_BITS - 1}, not ${number}`)
  const text = GUARD + bits(number, NUMBER_BITS) + bits(checkOf(number), BARS - GUARD.length - NUMBER_BITS)
  return [...text].map((bit) => bit === '1')
}

/** The number that bars say, or undefined when they are no bar code. */
export function numberOf(bars: readonly boolean[]): number | undefined {
  const text = bars.map((bar) => (bar ? '1' : '0')).join('')
  const number = Number.parseInt(text.slice(GUARD.length, GUARD.length + NUMBER_BITS), 2)
  const isCode =
    text ===
    barsOf(number)
      .map((bar) => (bar ? '1' : '0'))
      .join('')
  return isCode ? number : undefined
}

function bits(number: number, length: number): string {
  return number.toString(2).padStart(length, '0')
}

function checkOf(number: number): number {
  let sum = 5
  for (let rest = number; rest > 0; rest = Math.floor(rest / 16)) sum += rest % 16
  return sum % 16
}
