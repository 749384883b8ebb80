import fc from 'fast-check'
import t from 'tap'
import { foldMarks } from '../src/folding.ts'

/** What folding is; `foldMarks` finds the same with less work. */
function folded(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0640]/g, '')
    .normalize('NFKC')
    .replace(/[’‘ʼ`´]/g, "'")
    .replace(/ى/g, 'ي')
    .replace(/ة/g, 'ه')
}

t.test('folds each character as normalization does', (t) => {
  const different: string[] = []
  for (let codePoint = 0; codePoint <= 0x10_ffff; codePoint += 1) {
    const character = String.fromCodePoint(codePoint)
    if (foldMarks(character) !== folded(character)) different.push(codePoint.toString(16))
  }
  t.same(different, [])
  t.end()
})

t.test('folds characters that join their neighbours as normalization does', (t) => {
  const joining = [
    ...'éÅがカﾞｶﾊﾟ한ㄱㅏ가각ﬁ①ﷺ´`ةىأؤ\u0640שׁ־क़ਖ਼ƀǖ',
    ...'\u0301\u0316\u0323\u034f\u05b0\u064b\u0655\u3099\u309a\u1100\u1161\u11a8\u09c7\u09be\u20d0\u20e8\ud800',
    '\u{16d63}',
    '\u{16d67}',
    '\u{11099}',
    '\u{110ba}',
  ]
  const unit = fc.oneof(fc.constantFrom(...joining), fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }))
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 8 }), (text) => foldMarks(text) === folded(text)),
    { numRuns: 20_000 },
  )
  t.end()
})

t.test('more marks on a letter than any script needs are dropped: sorting them takes quadratic time', (t) => {
  t.equal(foldMarks(`a${'\u20d0'.repeat(1_000)}b`), `a${'\u20d0'.repeat(30)}b`)
  t.end()
})
