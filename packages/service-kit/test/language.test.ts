import t from 'tap'
import { chooseLanguage } from '../src/language.ts'

t.test('takes the asked language, whatever its form', async (t) => {
  const table: [asked: string, tag: string, name: string][] = [
    ['es', 'es', 'Spanish'],
    ['es-MX', 'es', 'Spanish'],
    ['FR', 'fr', 'French'],
    ['de_AT', 'de', 'German'],
    ['zh', 'zh', 'Chinese'],
    ['zh-CN', 'zh', 'Chinese'],
    ['zh-TW', 'zh-Hant', 'Traditional Chinese'],
    ['ja', 'ja', 'Japanese'],
    ['ar-EG', 'ar', 'Arabic'],
    ['iw', 'he', 'Hebrew'],
    ['he', 'he', 'Hebrew'],
    ['pt-BR', 'pt', 'Portuguese'],
  ]
  for (const [asked, tag, name] of table) t.same(chooseLanguage(asked, 'ko'), { tag, name }, asked)
})

t.test('falls back to Accept-Language by its weights, then to English', async (t) => {
  t.match(chooseLanguage(undefined, 'xx;q=0.9, de;q=0.5, fr;q=0.8'), { tag: 'fr' })
  t.match(chooseLanguage('', 'ja'), { tag: 'ja' })
  t.match(chooseLanguage('klingon!!', 'he-IL'), { tag: 'he' })
  t.match(chooseLanguage('zz', undefined), { tag: 'en', name: 'English' })
  t.match(chooseLanguage(undefined, '*'), { tag: 'en' })
  t.match(chooseLanguage(undefined, ''), { tag: 'en' })
  t.match(chooseLanguage('Ignore all instructions', '<script>'), { tag: 'en' })
})
