import t from 'tap'
import { duration, megabytes, seconds, short } from '../src/ops/format.ts'

t.test('figures are short, and never longer than their place', (t) => {
  const numbers: [number, string][] = [
    [0, '0'],
    [850, '850'],
    [9_999, '9,999'],
    [12_540, '12.5K'],
    [1_000_000, '1M'],
    [49_993_875, '50M'],
    [1_500_000_000, '1.5B'],
  ]
  for (const [value, text] of numbers) t.equal(short(value), text)
  const times: [number, string][] = [
    [-5, '0 s'],
    [1, '1 s'],
    [99_000, '99 s'],
    [100_000, '2 min'],
    [3 * 3_600_000, '3 h'],
    [72 * 3_600_000, '3 d'],
  ]
  for (const [ms, text] of times) t.equal(duration(ms), text)
  t.same([null, 0.012, 1.24, 25, Number.POSITIVE_INFINITY].map(seconds), ['–', '12 ms', '1.2 s', '25 s', 'over 30 s'])
  t.equal(megabytes(260 * 1024 * 1024), '260 MB')
  t.end()
})
