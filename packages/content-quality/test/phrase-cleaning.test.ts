import t from 'tap'
import { cleanPhrase, withoutNumbering } from '../src/phrase-cleaning.ts'

t.test('leaves a phrase as a person would write it', (t) => {
  const cases: [string, string][] = [
    ['  Cell   walls ', 'Cell walls'],
    ['- Cell walls', 'Cell walls'],
    ['* **Cell walls**', 'Cell walls'],
    ['• Cell walls.', 'Cell walls'],
    ['・細胞壁', '細胞壁'],
    ['① 细胞壁。', '细胞壁'],
    ['"Cell walls"', 'Cell walls'],
    ['«Les parois»', 'Les parois'],
    ['「細胞壁」', '細胞壁'],
    ['„Zellwände“', 'Zellwände'],
    ['## Cell walls', 'Cell walls'],
    ['**Structure**: the wall', 'Structure: the wall'],
    ['جدار الخلية؛', 'جدار الخلية'],
    // what must stay
    ['3D printing', '3D printing'],
    ['C# and C++', 'C# and C++'],
    ['1984 (novel)', '1984 (novel)'],
    ['-5 degrees', '-5 degrees'],
    ['The U.S.', 'The U.S.'],
    ['Martin Luther King Jr.', 'Martin Luther King Jr.'],
    ['What is light?', 'What is light?'],
    ['"War" and "Peace"', '"War" and "Peace"'],
  ]
  for (const [raw, cleaned] of cases) t.equal(cleanPhrase(raw), cleaned, raw)
  t.end()
})

t.test('takes numbers off a numbered list, in any digits', (t) => {
  t.same(withoutNumbering(['1. Light', '2. Water', '3. Air']), ['Light', 'Water', 'Air'])
  t.same(withoutNumbering(['1) Light', '2) Water', 'Air']), ['Light', 'Water', 'Air'])
  t.same(withoutNumbering(['0: Light', '1: Water']), ['Light', 'Water'])
  t.same(withoutNumbering(['1、光', '２．水']), ['光', '水'])
  t.same(withoutNumbering(['١. الضوء', '٢. الماء']), ['الضوء', 'الماء'])
  t.same(withoutNumbering(['**1. Light**', '**2. Water**']), ['Light', 'Water'])
  const fifteen = Array.from({ length: 15 }, (_, i) => `${i + 1}. Part ${i}`)
  t.equal(withoutNumbering(fifteen)[14], 'Part 14')
  t.end()
})

t.test('a number that is part of the phrase stays', (t) => {
  for (const list of [
    ['Mittelalter', '19. Jahrhundert', '20. Jahrhundert'],
    ['18. Jahrhundert', '19. Jahrhundert', '20. Jahrhundert'],
    ['3D printing', '2D printing'],
    ['1.5 degrees', '2.0 degrees'],
    ['Light', '2. Weltkrieg', 'Air', 'Water', 'Fire'],
  ]) {
    t.same(withoutNumbering(list), list)
  }
  t.end()
})
