/** What a prompt asks for, read from its labelled lines as a model would understand them. */
export interface Wish {
  topic: string
  subtopic: string
  level: string | undefined
  detail: string | undefined
  style: string | undefined
  /** ISO 639-1, lower case. */
  language: string
  /** Asked length of a text in words. */
  words: number
  /** Asked number of items. */
  items: number
}

const LANGUAGE_NAMES: Record<string, string> = {
  english: 'en',
  spanish: 'es',
  español: 'es',
  french: 'fr',
  français: 'fr',
  german: 'de',
  deutsch: 'de',
  chinese: 'zh',
  中文: 'zh',
  japanese: 'ja',
  日本語: 'ja',
  arabic: 'ar',
  العربية: 'ar',
  hebrew: 'he',
  עברית: 'he',
}

/** Reads `Topic: …`, `Subtopic: …`, `Education level: …`, `Language: Spanish (es)`, `Length: about 150 words`, … */
export function readWish(system: string, prompt: string): Wish {
  const text = `${prompt}\n${system}`
  const topic = label(text, 'topic|subject') ?? untitledTopic(prompt)
  return {
    topic,
    subtopic: label(text, 'subtopic|sub-topic|focus|aspect') ?? topic,
    level: label(text, 'education level|educationlevel|level'),
    detail: label(text, 'level of detail|levelofdetail|detail'),
    style: label(text, 'learning style|learningstyle|style'),
    language: readLanguage(label(text, 'language|lang') ?? ''),
    words: Number(/(\d{1,4})(?:\s*(?:-|–|to)\s*\d{1,4})?\s+words/i.exec(label(text, 'length') ?? text)?.[1] ?? 120),
    items:
      Number(
        label(text, 'count') ?? /\b(\d{1,2})\s+(?:\w+\s+){0,3}(?:subtopics|topics|items|ideas)\b/i.exec(text)?.[1],
      ) || 15,
  }
}

/** The first line that starts with one of the labels, without list marks, emphasis and quotes. */
function label(text: string, names: string): string | undefined {
  const found = new RegExp(`^[ \\t>*#-]*(?:${names})[ \\t*]*[:\\uFF1A][ \\t*]*(.+)$`, 'imu').exec(text)?.[1]
  const value = found
    ?.trim()
    .replace(/^["'“«](.*)["'”»]$/u, '$1')
    .trim()
  return value === '' ? undefined : value
}

/** Without a label: what is quoted, else the prompt's last words. */
function untitledTopic(prompt: string): string {
  const quoted = /["“«]([^"”»]{2,200})["”»]/u.exec(prompt)?.[1]
  const asked = prompt.replace(
    /^\s*(?:please\s+)?(?:explain|describe|define|tell me about|write about|what (?:is|are))\s+/i,
    '',
  )
  const words = (quoted ?? asked).trim().split(/\s+/u)
  return (
    words
      .slice(-6)
      .join(' ')
      .replace(/[.?!:]+$/u, '') || 'general knowledge'
  )
}

function readLanguage(value: string): string {
  const code = /\(([a-z]{2,3})(?:-[a-z0-9]+)*\)/i.exec(value)?.[1] ?? /^([a-z]{2})(?:-[a-z0-9]+)*$/i.exec(value)?.[1]
  if (code) return code.toLowerCase()
  const name = Object.keys(LANGUAGE_NAMES).find((known) => value.toLowerCase().includes(known))
  return name ? (LANGUAGE_NAMES[name] ?? 'en') : 'en'
}
