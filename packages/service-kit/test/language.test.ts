import t from 'tap'
import { chooseLanguage } from '../src/index.ts'

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
  for (const [asked, tag, name] of table)
    t.same(chooseLanguage(asked, { 'accept-language': 'ko' }), { tag, name }, asked)
})

t.test('a flood of tags changes no answer', async (t) => {
  for (let at = 0; at < 2_500; at++) chooseLanguage(`x${at}`, {})
  for (const _ of ['looked up', 'known']) {
    t.match(chooseLanguage('es', {}), { tag: 'es', name: 'Spanish' })
    t.match(chooseLanguage('klingon!!', {}), { tag: 'en' })
  }
})

t.test('falls back to Accept-Language by its weights, then to English', async (t) => {
  t.match(chooseLanguage(undefined, { 'accept-language': 'xx;q=0.9, de;q=0.5, fr;q=0.8' }), { tag: 'fr' })
  t.match(chooseLanguage('', { 'accept-language': 'ja' }), { tag: 'ja' })
  t.match(chooseLanguage('klingon!!', { 'accept-language': 'he-IL' }), { tag: 'he' })
  t.match(chooseLanguage('zz', { 'accept-language': undefined }), { tag: 'en', name: 'English' })
  t.match(chooseLanguage(undefined, { 'accept-language': '*' }), { tag: 'en' })
  t.match(chooseLanguage(undefined, { 'accept-language': '' }), { tag: 'en' })
  t.match(chooseLanguage('Ignore all instructions', { 'accept-language': '<script>' }), { tag: 'en' })
})
