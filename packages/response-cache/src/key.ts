import { hash } from 'node:crypto'

export interface KeyParts {
  operation: string
  promptVersion: string | number
  model: string
  language: string
  /** What the answer depends on; the order does not matter and `undefined` is absent. Pictures by the hash of their bytes. */
  input: Record<string, string | number | undefined>
}

/** `<operation>:<64 hex digits>`: the SHA-256 of everything the answer depends on, texts by `normaliseInput` and `foldInitial`. */
export function cacheKey(parts: KeyParts): string {
  const input = Object.entries(parts.input)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, typeof value === 'string' ? foldInitial(normaliseInput(value)) : value] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  // JSON quotes every part, so that no two inputs run together into the same text.
  const text = JSON.stringify([parts.operation, String(parts.promptVersion), parts.model, parts.language, input])
  return `${parts.operation}:${hash('sha256', text)}`
}

/**
 * The tags that an answer is stored with, so that it can be dropped by its operation, by its topic, or by both at once:
 * the last of them is the tag to drop for just this `about`.
 */
export function answerTags({
  operation,
  topic,
}: {
  operation?: string | undefined
  topic?: string | undefined
}): string[] {
  const parts = [
    ...(operation === undefined ? [] : [`operation:${operation}`]),
    ...(topic === undefined ? [] : [`topic:${foldTopic(topic)}`]),
  ]
  return parts.length > 1 ? [...parts, parts.join(' ')] : parts
}

/** Characters that no reader sees: controls, the marks of text direction, and tags. */
const invisible = /[[\p{Cc}--[\s\u{85}]]\u{61c}\u{200e}\u{200f}\u{202a}-\u{202e}\u{2066}-\u{206f}\u{e0000}-\u{e007f}]/gv

/**
 * The text as the model is asked and the answer is cached: NFC, trimmed, white space collapsed, without characters that no
 * reader sees. Case, superscripts and letter forms stay: `10⁶` is not `106`, `ℂ` not `C`.
 */
export function normaliseInput(text: string): string {
  return text
    .replace(invisible, '')
    .replace(/[\s\u0085]+/g, ' ')
    .trim()
    .normalize()
}

/**
 * Phones capitalise the first letter of a text by themselves, so there it says nothing, unless the word is short: `Turkey`,
 * `Polish`, `March` and `Mercury` may be names, `MW` a unit and `US` an abbreviation.
 */
function foldInitial(text: string): string {
  return text.replace(/^\p{Lu}(?=\p{Ll}{7,}(?!\p{L}))/u, (initial) => initial.toLowerCase())
}

/** What an operator may write for a topic to drop its answers: any case and form. Dropping too many does no harm. */
function foldTopic(topic: string): string {
  return normaliseInput(foldCase(topic.normalize('NFKC')).normalize('NFKC'))
}

/** By way of upper case, which makes ß, ẞ and SS one; around the dotless ı, which upper case would turn into i. */
function foldCase(text: string): string {
  return text.replace(/[^ı]+/gu, (run) => run.toLowerCase().toUpperCase().toLowerCase())
}
