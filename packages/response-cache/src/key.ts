import { hash } from 'node:crypto'

export interface KeyParts {
  operation: string
  promptVersion: string | number
  model: string
  language: string
  /** What the answer depends on; the order does not matter and `undefined` is absent. Pictures by the hash of their bytes. */
  input: Record<string, string | number | undefined>
}

/** `<operation>:<64 hex digits>`: the SHA-256 of everything the answer depends on, texts by `normaliseInput`. */
export function cacheKey(parts: KeyParts): string {
  const input = Object.entries(parts.input)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => [name, typeof value === 'string' ? normaliseInput(value) : value] as const)
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
    ...(topic === undefined ? [] : [`topic:${normaliseInput(topic)}`]),
  ]
  return parts.length > 1 ? [...parts, parts.join(' ')] : parts
}

/** NFKC, trimmed, white space collapsed, case-folded by Unicode's rules alone (no locale). For keys and tags, not for show. */
export function normaliseInput(text: string): string {
  return foldCase(text.normalize('NFKC')).normalize('NFKC').replace(/\s+/gu, ' ').trim()
}

/** By way of upper case, which makes ß, ẞ and SS one; around the dotless ı, which upper case would turn into i. */
function foldCase(text: string): string {
  return text.replace(/[^ı]+/gu, (run) => run.toLowerCase().toUpperCase().toLowerCase())
}
