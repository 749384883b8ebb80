import { fold } from './folding.ts'
import { sentences } from './words.ts'

// Each pattern is matched at the start of a sentence, so that a text about chatbots may quote or describe them: a refusal
// speaks in the first person.

const assistantIn = {
  en: "as an? (?:ai|artificial intelligence|(?:large )?language model|llm)\\b[^.]{0,80}?\\b(?:i|i'm|i've|my)\\b|(?:i'm|i am) (?:just |only |merely )?an? (?:ai|artificial intelligence|(?:large )?language model)\\b",
  es: 'como (?:una? )?(?:ia|inteligencia artificial|modelo (?:grande )?de lenguaje|asistente)\\b[^.]{0,80}?\\b(?:no puedo|no tengo|no soy|no estoy|no me|mi|debo)\\b|soy (?:solo |sólo )?(?:una ia|una inteligencia artificial|un modelo de lenguaje)\\b',
  fr: "en tant (?:qu'|que )(?:une? )?(?:ia|intelligence artificielle|(?:grand )?mod[eè]le de langage|assistant)\\b[^.]{0,80}?\\b(?:je|j'|mon|mes)|je (?:ne )?suis (?:qu')?une? (?:ia|intelligence artificielle|mod[eè]le de langage)\\b",
  de: 'als (?:eine? )?(?:ki|künstliche intelligenz|(?:großes )?sprachmodell)\\b[^.]{0,80}?\\b(?:ich|mir|mich)\\b|ich bin (?:nur |lediglich )?(?:eine ki|eine künstliche intelligenz|ein (?:ki-)?sprachmodell)\\b',
  zh: '作[为為](?:一[个個名款种種])?(?:ai|人工智能|人工智慧|大?(?:型)?[语語]言模型)[^。]{0,25}我|我(?:只)?是(?:一[个個名款种種])?(?:ai|人工智能|人工智慧|大?(?:型)?[语語]言模型)',
  ja: '(?:私は)?(?:ai|人工知能|(?:大規模)?言語モデル)(?:アシスタント|言語モデル)?(?:として|であるため|なので|ですので|のため)[、,][^。]{0,50}(?:お答え|回答|提供|お手伝い|対応|生成|作成)[^。]{0,12}(?:ません|かねます|控え)|私は(?:ai|人工知能|(?:大規模)?言語モデル)',
  ar: '(?:بصفتي|باعتباري|كوني|انا)\\s(?:مجرد\\s)?(?:نموذج|ذكاء|مساعد)|ك(?:نموذج لغ|ذكاء اصطناعي)[^.]{0,60}(?:لا استطيع|لا يمكنني|ليس لدي)',
  he: '(?:כמודל שפה|כבינה מלאכותית|בתור (?:מודל|בינה|עוזר))[^.]{0,60}?(?:אני|איני|אין באפשרותי|לא אוכל)|אני (?:רק )?(?:מודל שפה|בינה מלאכותית)',
}

const cannotIn = {
  en: "(?:i'm|i am) (?:not able|unable|not allowed|not permitted|not programmed|not in a position) to|i (?:must|have to|need to) decline|i(?: (?:can't|cannot|can not|could not|couldn't|won't|will not|don't|do not)|'m not going to)(?: \\w+){0,2} (?:help|assist|provid|generat|creat|fulfil|answer|comply|discuss|explain|complete|writ|produce|offer|share|respond|process|identif|determine|engage|describe|recogni|see (?:the|any|an) (?:image|picture)|have (?:enough )?information)",
  es: '(?:no puedo|no podre|no me es posible|no soy capaz de|no estoy autorizad[oa]|no estoy en condiciones de|me temo que no)(?: \\w+){0,2} ?(?:ayudar|asistir|proporcion|gener|crear|responder|cumplir|complet|ofrecer|explic|identific|determin|describ|realizar|dar|escribir|puedo)',
  fr: "je ne (?:peux|puis|pourrai)\\b|je ne suis (?:malheureusement )?pas (?:en mesure|autorisée?|capable|habilitée?)|il m'est impossible (?:de |d')|je dois (?:refuser|décliner)",
  de: '(?:ich kann|kann ich|ich darf|darf ich|ich bin|bin ich)\\b.{0,60}?\\b(?:nicht|keine?[nmrs]?)\\b.{0,60}?(?:helfen|erstellen|bereitstellen|beantworten|liefern|geben|unterstützen|generieren|erzeugen|erfüllen|schreiben|identifizieren|erkennen|bestimmen|beschreiben|in der lage|befugt)|ich muss (?:diese|ihre|deine) (?:anfrage|bitte) ablehnen',
  zh: '我(?:目前|暂时|暫時)?(?:无法|無法|不能|不可以|没有办法|沒有辦法)(?:为您|為您|为你|為你|向您)?(?:提供|回答|协助|協助|帮助|幫助|满足|滿足|生成|创建|創建|识别|識別|完成|处理|處理|讨论|討論|确定|確定)',
  ja: '[^。]{0,40}(?:お答え|お応え|お手伝い|ご案内|ご説明|ご提供|ご対応|ご要望|ご質問|リクエスト)[^。]{0,15}(?:できません|できかねます|いたしかねます|出来ません|致しかねます)',
  ar: '(?:لا استطيع|لا يمكنني|لست قادر|لن اتمكن|لا اقدر|انا غير قادره?|يتعذر علي)',
  he: '(?:אני לא (?:יכול|יכולה|מסוגל|מסוגלת)|איני (?:יכול|יכולה|מסוגל|מסוגלת)|אין באפשרותי|אין ביכולתי|לא אוכל)',
}

const apologyIn = {
  en: "(?:i'm|i am)(?: so| very| really| truly)? sorry|sorry|i apologi[sz]e|my apologies|apologies|unfortunately|regrettably|i'm afraid|i regret",
  es: 'lo siento(?: mucho)?|lamento(?: decir que)?|lamentablemente|disculpa|disculpe|perdon|desafortunadamente|por desgracia',
  fr: "(?:je suis |je suis vraiment )?désolée?|je m'excuse|malheureusement|je regrette|excusez-moi|pardon",
  de: '(?:es )?tut mir(?: sehr)? leid|entschuldigung|entschuldigen sie|leider|bedauerlicherweise|verzeihung',
  zh: '(?:很|非常|十分)?(?:抱歉|遗憾|遺憾)|对不起|對不起|不好意思',
  ja: '(?:大変|誠に)?(?:申し訳|もうしわけ)(?:ありません|ございません|ないです|ないの)(?:が|けれど)?|すみません(?:が)?|ごめんなさい|恐れ入りますが|残念ながら|あいにく',
  ar: 'عذرا|اسف|انا اسف|اعتذر|للاسف|ناسف|المعذره',
  he: '(?:אני )?מצטערת?|סליחה|לצערי|אני מתנצלת?|מתנצלת?',
}

// What may follow an apology for it to be a refusal, beyond "I cannot …": a bare "I can't", or a policy.
const refusedAnyway =
  "i (?:can't|cannot|can not|won't|am unable|am not able)|i'm (?:unable|not able)|no puedo|je ne (?:peux|suis)|kann ich|ich kann|我?(?:无法|無法|不能)|[^。]{0,60}(?:できません|できかねます|いたしかねます|できない)|لا استطيع|لا يمكنني|איני|אני לא|לא אוכל"

const policy =
  "(?:this|that|your) (?:request|prompt|content|topic) (?:violates|goes against|is against)|(?:it is|it's|that is|that's|this is) against my (?:programming|guidelines|policy|policies)|my (?:guidelines|programming|safety guidelines) (?:prevent|do not allow|don't allow|prohibit)"

const linkingWords = '(?:however|but|please note that|note that|unfortunately)[,:]? '

const anyOf = (patterns: Record<string, string>) => Object.values(patterns).join('|')

// Each is matched at one place, and no character that it matched is given back. Joined into one pattern, with separators
// on both sides of the conjunction, they would take more than quadratic time on a run of separators.
const apology = matcher(anyOf(apologyIn))
const separators = matcher('[\\s,.;:!،。—–\\-]*')
const conjunction = matcher('(?:but|pero|mais|aber|que|jedoch|但是?|不過|不过|و?لكنني|و?لكن|אבל|אך)[\\s,،]*')
const linkingWord = matcher(linkingWords)
const assistantOrPolicy = matcher(`${anyOf(assistantIn)}|${policy}`)
const cannot = matcher(anyOf(cannotIn))
const cannotAfterApology = matcher(`${anyOf(cannotIn)}|${refusedAnyway}`)
// A sentence that starts with none of these is not a refusal, which saves matching each.
const beginning = matcher(`${linkingWords}|${anyOf(apologyIn)}|${anyOf(assistantIn)}|${policy}|${anyOf(cannotIn)}`)
const onlyApology = matcher(`(?:${anyOf(apologyIn)})[\\s.!,。！]*$`)

/**
 * True when the model refuses in one of the eight languages; it does not always refuse in the requested one.
 * `folded` are the folded sentences of the text, for a caller that has them already.
 */
export function isRefusal(text: string, folded?: string[]): boolean {
  const all = folded && !text.includes('A.I.') ? folded : sentences(text.replaceAll('A.I.', 'AI')).map(fold)
  if (!all.some((sentence) => endOf(beginning, sentence) > 0)) return false
  const [first = '', second = ''] = all
  if (endOf(onlyApology, first) > 0 && (all.length === 1 || saysCannot(second))) return true
  // A bare "I cannot help" counts only where an answer begins, since a text may cite it later.
  return saysCannot(first) || all.some(startsRefusal)
}

function saysCannot(sentence: string): boolean {
  const linked = endOf(linkingWord, sentence)
  return endOf(cannot, sentence) > 0 || (linked > 0 && endOf(cannot, sentence, linked) > 0)
}

function startsRefusal(sentence: string): boolean {
  const isSaidAt = (at: number) => endOf(assistantOrPolicy, sentence, at) > 0
  if (isSaidAt(0)) return true
  const apologized = afterApology(sentence, 0)
  if (apologized > 0 && (isSaidAt(apologized) || endOf(cannotAfterApology, sentence, apologized) > 0)) return true
  const linked = endOf(linkingWord, sentence)
  return linked > 0 && (isSaidAt(linked) || isSaidAt(afterApology(sentence, linked)))
}

/** Where the text goes on after an apology, the separators and a conjunction; `at` when there is no apology. */
function afterApology(sentence: string, at: number): number {
  const end = endOf(apology, sentence, at)
  if (end === 0) return at
  const separated = endOf(separators, sentence, end)
  return endOf(conjunction, sentence, separated) || separated
}

/** Where the match that starts at `at` ends; 0 when there is none. */
function endOf(pattern: RegExp, text: string, at = 0): number {
  pattern.lastIndex = at
  return pattern.test(text) ? pattern.lastIndex : 0
}

// Folded like the text that it is matched against, which is in lower case: faster than ignoring the case of each character.
function matcher(source: string): RegExp {
  return new RegExp(fold(source), 'uy')
}
