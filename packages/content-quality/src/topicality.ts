import { letter, mark, number, traitsAt } from './characters.ts'
import { fold, foldMarks } from './folding.ts'
import { isGrammarOnly, isUnspaced, segments } from './words.ts'

export type Topicality = 'on_topic' | 'off_topic' | 'unknown'

// Words that say nothing about a subject, of the languages whose topics are compared by words.
const functionWordsIn: Record<string, string> = {
  en: 'the and for with from into its are was how what why when who which that this between through their your our you can does not has have about of in on to is an or by at as vs a',
  es: 'el la los las un una unos unas de del y en con por para que como se al su sus es son entre sobre sin desde lo o',
  fr: 'le la les un une des du de et en dans avec pour par sur que qui est sont au aux ce ces son ses entre sans ou d l',
  de: 'der die das den dem des ein eine einer eines und im in von vom zu zum zur mit für auf aus bei ist sind wie nach über unter zwischen als an am oder',
  ar: 'في من الي علي عن مع هذا هذه التي الذي ما كيف بين و او',
  he: 'של את על עם זה זו הוא היא מה איך בין אל כל או',
}
const genericWords =
  'introduction overview basics types examples importance role key main introduccion introducción einführung überblick grundlagen types tipos arten'

const functionWords = new Map(
  Object.entries(functionWordsIn).map(([language, words]) => [language, new Set(fold(words).split(' '))]),
)
const insignificant = new Set(
  [...functionWords.values()].flatMap((words) => [...words]).concat(fold(genericWords).split(' ')),
)

// Marks of a short text in this language that are rare in the other three that share the alphabet.
const latinMarks: Record<string, RegExp> = {
  en: /(?:ing|ness|ght|ship|hood|ally|ful|less)s?$|^(?:wh|kn|wr|th|sh)|[a-z]y$|oo|ee|w[aeiou]/i,
  es: /[ñáéíóú]|(?:ción|ciones|dad|dades|ismo|mente|aje|ía|ario|illa|illo|eza|os|as)$/i,
  fr: /[éèêçœàâîûëï]|(?:eau|eaux|eux|euse|ique|iques|isme|ité|ités|ée|ées|aire|aires|eur|eurs|oire|ois|ais)$/i,
  de: /[äöüß]|(?:ung|ungen|heit|keit|schaft|lich|isch|ische|ischer|tum|chen|nis|ieren|kunde|lehre|ien|ik)$|^(?:ge|ver|zer|sch)|sch|cht|tz|pf/i,
}
const plus = 0x2b
const hash = 0x23
const pluralS = /(?<=\p{L}{3})s$/u

const otherArabicScript = /[پچژگکیےٹڈڑں]/u // Persian and Urdu
const simplifiedOnly =
  /[这们为么发时间对关开动实现应术艺药经济历业东车书语话说请计认识设传统义论质热电脑网络类种亚罗马战军队农结构变]/u

/**
 * Whether a text mentions the topic or subtopic: any of their significant words is enough, in any form or script.
 * `plain` is the text after foldMarks.
 */
export function topicality(plain: string, context: { topic: string; subtopic: string; language: string }): Topicality {
  const subject = `${context.topic} ${context.subtopic}`
  const stems = segments(subject).filter(isSignificant).flatMap(stemsOf)
  if (stems.length === 0) return 'unknown'
  const haystack = plain.toLowerCase()
  if (stems.some((stem) => occurs(stem, haystack))) return 'on_topic'
  return sameLanguage(subject, plain, baseLanguage(context.language)) ? 'off_topic' : 'unknown'
}

/**
 * What two phrases have in common when they are the same but for case, marks, order, articles and a plural s.
 * `folded` is the phrase after fold.
 */
export function phraseKey(folded: string): string {
  const words = keyWords(folded)
  const significant = words.filter((word) => word.length === 1 || !insignificant.has(word))
  const kept = significant.length > 0 ? significant : words
  return kept.length === 1 ? (kept[0] ?? '') : kept.sort().join(' ')
}

/** Runs of letters, digits, marks, "+" and "#", without a plural s. */
function keyWords(folded: string): string[] {
  const words: string[] = []
  let start = 0
  for (let at = 0, width = 1; at < folded.length; at += width) {
    const codePoint = folded.codePointAt(at) ?? 0
    width = codePoint > 0xffff ? 2 : 1
    if (traitsAt(folded, at) & (letter | number | mark) || codePoint === plus || codePoint === hash) continue
    if (at > start) words.push(singular(folded.slice(start, at)))
    start = at + width
  }
  if (start < folded.length) words.push(singular(folded.slice(start)))
  return words
}

function singular(word: string): string {
  return word.endsWith('s') && pluralS.test(word) ? word.slice(0, -1) : word
}

interface Stem {
  text: string
  /** Short stems must begin a word; longer ones may be inside one, as in a German compound or after a Hebrew prefix. */
  atWordStart: boolean
}

function isSignificant(word: string): boolean {
  if (insignificant.has(fold(word)) || isGrammarOnly(word)) return false
  const acronym = /\p{N}/u.test(word) || (word === word.toUpperCase() && word !== word.toLowerCase())
  return acronym || isUnspaced(word) || [...word].length >= 3
}

function stemsOf(word: string): Stem[] {
  const folded = fold(word)
  if (isUnspaced(folded)) return unspacedStems(folded)
  if (/\p{Script=Arabic}/u.test(folded)) return [{ text: arabicStem(folded), atWordStart: false }]
  if (/\p{Script=Hebrew}/u.test(folded)) return [{ text: hebrewStem(folded), atWordStart: false }]
  const singular = folded.replace(/^(?:[ldjmnst]|qu)'/u, '').replace(/(?:ies|y|'s|s)$/u, '')
  const base = singular.length >= 2 ? singular : folded
  const kept = base.length <= 4 ? base.length : Math.max(4, Math.ceil(base.length * 0.65))
  return [{ text: base.slice(0, kept), atWordStart: kept < 5 }]
}

// A longer and a shorter form of a Chinese or Japanese word share two neighbouring characters.
function unspacedStems(word: string): Stem[] {
  const characters = [...word]
  if (characters.length <= 2) return [{ text: word, atWordStart: false }]
  return characters.slice(1).map((character, i) => ({ text: `${characters[i]}${character}`, atWordStart: false }))
}

function arabicStem(word: string): string {
  const bare = word.replace(/^(?:وال|بال|كال|فال|لل|ال)(?=.{3})/u, '')
  return bare.replace(/(?<=.{3})(?:ات|ون|ين|ان|يه|ه|ي)$/u, '')
}

function hebrewStem(word: string): string {
  return word.replace(/^[הובלמשכ](?=.{4})/u, '').replace(/(?<=.{3})(?:ים|ות|ה|ת|י)$/u, '')
}

function occurs(stem: Stem, haystack: string): boolean {
  for (let at = haystack.indexOf(stem.text); at !== -1; at = haystack.indexOf(stem.text, at + 1)) {
    if (!stem.atWordStart || at === 0 || !/[\p{L}\p{N}]/u.test(haystack.charAt(at - 1))) return true
  }
  return false
}

function baseLanguage(language: string): string {
  return (language.toLowerCase().match(/^[a-z]{2,3}/) ?? ['en'])[0]
}

/** False when in doubt: a topic in another language than its explanation shares no words with it, and both may be right. */
function sameLanguage(subject: string, plain: string, language: string): boolean {
  const script = mainScript(foldMarks(subject))
  if (script !== mainScript(plain)) return false
  if (script === 'Latin') return latinSameLanguage(subject, language)
  if (script === 'Arabic') return language === 'ar' && !otherArabicScript.test(subject)
  if (script === 'Hebrew') return language === 'he'
  if (script === 'Han') {
    const kana = /[\p{Script=Hiragana}\p{Script=Katakana}]/u.test(subject)
    return language === 'ja' ? kana || !simplifiedOnly.test(subject) : language === 'zh' && !kana
  }
  return false
}

// A few words show little: they count as English unless another language scores higher; the others need the highest score.
function latinSameLanguage(subject: string, language: string): boolean {
  const scores = Object.keys(latinMarks).map((candidate) => [candidate, latinScore(subject, candidate)] as const)
  const own = scores.find(([candidate]) => candidate === language)?.[1]
  if (own === undefined) return false
  const best = Math.max(...scores.filter(([candidate]) => candidate !== language).map(([, score]) => score))
  return language === 'en' ? own >= best : own > best
}

function latinScore(subject: string, language: string): number {
  let score = 0
  for (const word of segments(subject)) {
    if (functionWords.get(language)?.has(fold(word))) score += 2
    else if (latinMarks[language]?.test(word)) score += 1
  }
  return score
}

const scripts = {
  Latin: /\p{Script=Latin}+/gu,
  Han: /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]+/gu,
  Arabic: /\p{Script=Arabic}+/gu,
  Hebrew: /\p{Script=Hebrew}+/gu,
  other:
    /(?:(?![\p{Script=Latin}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Arabic}\p{Script=Hebrew}])\p{L})+/gu,
}

/** The script of most letters; kana count as Han, and a Han character as two letters. `plain` is after foldMarks. */
function mainScript(plain: string): keyof typeof scripts | undefined {
  if (!/[^ -~\s]/.test(plain)) return /[a-z]/i.test(plain) ? 'Latin' : undefined
  let main: keyof typeof scripts | undefined
  let most = 0
  for (const [script, pattern] of Object.entries(scripts)) {
    const count = countMatched(plain, pattern) * (script === 'Han' ? 2 : 1)
    if (count > most) {
      most = count
      main = script as keyof typeof scripts
    }
  }
  return main
}

/** The characters (code points) that a pattern of runs matches. */
function countMatched(text: string, runs: RegExp): number {
  let count = 0
  for (const run of text.match(runs) ?? []) count += /[\ud800-\udfff]/.test(run) ? [...run].length : run.length
  return count
}

const scriptOfLanguage: Record<string, keyof typeof scripts> = {
  en: 'Latin',
  es: 'Latin',
  fr: 'Latin',
  de: 'Latin',
  zh: 'Han',
  ja: 'Han',
  ar: 'Arabic',
  he: 'Hebrew',
}

/** False when the text is clearly in another script than its language is written in. `plain` is after foldMarks. */
export function scriptFits(plain: string, language: string): boolean {
  const expected = scriptOfLanguage[baseLanguage(language)]
  const script = mainScript(plain)
  return expected === undefined || script === undefined || script === expected
}
