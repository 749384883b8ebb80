import { Findings } from './findings.ts'
import { fold, foldMarks } from './folding.ts'
import { cleanPhrase, oneLine } from './phrase-cleaning.ts'
import { isRefusal } from './refusals.ts'
import { scriptFits } from './topicality.ts'
import type { QualityReport } from './types.ts'
import { sentences, wordCounts } from './words.ts'

const maxWords = 10
/** A longer text is not checked any further, which bounds the work. */
const maxCharacters = 2_048
/** This many words with a full stop are a sentence, with or without a verb. */
const sentenceWords = 8

/** Fewer words may be a name, which keeps its script. */
const nameWords = 3

const label =
  /^(?:(?:main |the )?(?:topic|subject|theme)|tema(?: principal)?|sujet(?: principal)?|th[eè]me|(?:haupt)?thema|(?:主)?[题題]|主题|主題|トピック|テーマ|الموضوع|(?:ה)?נושא)\s*[:：]\s*/iu

const noAnswer = compile(
  `^(?:unknown(?: topic| image| subject)?|n/?a|none|null|undefined|unclear|not sure|no topic(?: found| identified)?|no (?:clear|identifiable) topic|unidentifiable|desconocido|ninguno|no identificado|inconnu|aucun|non identifié|unbekannt|keine?s?|nicht erkennbar|unklar|未知|不明|无|無|无法识别|無法識別|わかりません|なし|غير معروف|غير واضح|لا شيء|לא ידוע|לא ברור|אין)[\\s.!。]*$`,
)

const saysUnable = compile(
  '^(?:unable to (?:identify|determine|recogni[sz]e|analy[sz]e|process|see)|cannot (?:identify|determine|recogni[sz]e|analy[sz]e|be (?:identified|determined)))',
)

const opener = compile(
  "^(?:(?:this|the|an?) (?:image|picture|photo|photograph|illustration) (?:is|are|shows?|depicts?|displays?|features?|contains?|appears|illustrates?)\\b|(?:this|it|that) (?:is|shows|depicts|appears)\\b|(?:esta|la) (?:imagen|foto|fotografía) (?:es|muestra|contiene|representa)\\b|cette (?:image|photo) (?:est|montre|représente|illustre)\\b|l'image (?:est|montre|représente|illustre)\\b|das (?:bild|foto) (?:zeigt|ist|stellt)\\b|dieses (?:bild|foto) (?:zeigt|ist|stellt)\\b|(?:这|這)(?:张|張|幅)?(?:是|图|圖|照)|(?:图|圖)(?:片|中|像)(?:显示|顯示|展示|是)|この(?:画像|写真)は|(?:تظهر|تعرض|توضح) (?:هذه )?الصوره|هذه (?:الصوره|صوره)|(?:התמונה|תמונה זו) (?:מציגה|מראה|היא)|זוהי )",
)

const statesSomething = compile(
  '\\b(?:is|are|was|were|shows?|depicts?|displays?|contains?|has|have|can be|es|son|está|están|muestra|hay|est|sont|montre|représente|ist|sind|zeigt|war|waren|gibt)\\b|(?:是|了|着)|(?:です|ます|ました|ている|である)[。.]?$|(?:هو|هي|يكون|تظهر)|(?:הוא|היא|מציגה|נמצא)',
)

/**
 * Checks the generated topic of an image; `accepted` is it without label, quotes, Markdown and full stop, and empty when the
 * text was too long to be checked.
 */
export function checkTopic(text: string, context: { language: string }): QualityReport & { accepted: string } {
  const findings = new Findings()
  if (text.length > maxCharacters) {
    findings.issue('too_long', `The topic has more than ${maxCharacters} characters.`)
    return { ...findings.report(), accepted: '' }
  }
  const cleaned = cleanPhrase(text)
  const accepted = cleanPhrase(cleaned.replace(label, ''))
  const words = wordCounts(accepted)
  const folded = fold(accepted)
  if (words.all === 0) findings.issue('empty', 'There is no topic.')
  else if (isNoAnswer(folded)) findings.issue('no_answer', 'The model found no topic.')
  else if (isRefusal(text) || (accepted !== text && isRefusal(accepted))) {
    findings.issue('refusal', 'The model refused to name a topic.')
  } else if (isSentence(text, cleaned)) findings.issue('sentence', 'The topic is a sentence.')
  else if (words.content > maxWords) findings.issue('too_long', `The topic has more than ${maxWords} words.`)
  if (accepted !== oneLine(text)) findings.warn('The topic came with more than the topic itself.', 0.05)
  if (words.content >= nameWords && !scriptFits(foldMarks(accepted), context.language)) {
    findings.warn('The topic seems to be in another language.', 0.1)
  }
  return { ...findings.report(), accepted }
}

export function isNoAnswer(folded: string): boolean {
  return noAnswer.test(folded) || saysUnable.test(folded)
}

export function isSentence(text: string, cleaned = cleanPhrase(text)): boolean {
  const folded = fold(cleaned)
  if (opener.test(folded)) return true
  if (endsWithStop(text)) {
    const words = wordCounts(folded).all
    if (words >= sentenceWords || (words >= 5 && statesSomething.test(folded))) return true
  }
  return hasInnerStop(text)
}

// String code, since a pattern with white space on both sides of the quote takes quadratic time.
function endsWithStop(text: string): boolean {
  const trimmed = text.trimEnd()
  const unquoted = /["'”」]$/.test(trimmed.slice(-1)) ? trimmed.slice(0, -1).trimEnd() : trimmed
  return /[.。!！]$/.test(unquoted.slice(-1))
}

// A stop after a real word with more on both sides; "St. Louis" and "Martin Luther King Jr. Day" have none.
function hasInnerStop(text: string): boolean {
  const parts = sentences(text)
  return parts.slice(0, -1).some((part, i) => {
    const next = parts[i + 1] ?? ''
    return /(?:\p{L}{4}[.!]|[。！])$/u.test(part) && wordCounts(part).all >= 2 && wordCounts(next).all >= 2
  })
}

function compile(source: string): RegExp {
  return new RegExp(foldMarks(source), 'iu')
}
