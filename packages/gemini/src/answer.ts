import { GeminiError } from './errors.ts'
import type { GeminiAnswer, TokenUsage } from './types.ts'

/** A candidate that may be used: the model finished, and nothing was filtered. */
export interface UsableAnswer {
  /** Without thoughts. */
  parts: Record<string, unknown>[]
  usage: TokenUsage
  modelVersion: string
}

const BLOCKED = new Set([
  'SAFETY',
  'RECITATION',
  'BLOCKLIST',
  'PROHIBITED_CONTENT',
  'SPII',
  'IMAGE_SAFETY',
  'IMAGE_PROHIBITED_CONTENT',
  'IMAGE_RECITATION',
])
const FINISHED = new Set(['STOP', 'FINISH_REASON_UNSPECIFIED', undefined])

/** The parsed JSON of a generateContent response. @throws GeminiError blocked, cut_off or malformed, with the tokens it cost */
export function readJson(response: unknown, askedModel: string): GeminiAnswer<unknown> {
  const { parts, usage, modelVersion } = readCandidate(response, askedModel)
  const text = parts.map((part) => (typeof part.text === 'string' ? part.text : '')).join('')
  if (text.trim() === '') throw malformed('The answer has no text', usage)
  try {
    return { value: JSON.parse(text), usage, modelVersion }
  } catch (cause) {
    throw malformed('The answer is not JSON', usage, cause)
  }
}

/** The first candidate of a generateContent response. @throws GeminiError blocked, cut_off or malformed */
export function readCandidate(response: unknown, askedModel: string): UsableAnswer {
  const { promptFeedback, candidates, usageMetadata, modelVersion } = record(response)
  const reported = readUsage(usageMetadata)
  const { blockReason } = record(promptFeedback)
  if (typeof blockReason === 'string') throw blocked(`Gemini refused the prompt: ${blockReason}`, reported)
  const [first] = Array.isArray(candidates) ? candidates : []
  if (first === undefined) throw malformed('The answer has no candidates', reported)
  const { content, finishReason, finishMessage } = record(first)
  if (typeof finishReason === 'string' && BLOCKED.has(finishReason)) {
    throw blocked(`Gemini refused its answer: ${finishReason}${finishMessage ? `, ${finishMessage}` : ''}`, reported)
  }
  if (finishReason === 'MAX_TOKENS')
    throw new GeminiError('cut_off', 'The answer was cut off at maxOutputTokens', {
      ...(reported && { usage: reported }),
    })
  if (!FINISHED.has(finishReason as string | undefined))
    throw malformed(`The answer ended with ${finishReason}`, reported)
  const { parts } = record(content)
  return {
    parts: (Array.isArray(parts) ? parts.map(record) : []).filter(({ thought }) => thought !== true),
    usage: reported ?? NOT_REPORTED,
    modelVersion: typeof modelVersion === 'string' ? modelVersion : askedModel,
  }
}

/** Google left the usage out. */
export const NOT_REPORTED: TokenUsage = Object.freeze({ promptTokens: 0, outputTokens: 0, totalTokens: 0 })

/** Zero fields are omitted on the wire. Thoughts count as output. */
function readUsage(usageMetadata: unknown): TokenUsage | undefined {
  if (usageMetadata === undefined) return undefined
  const metadata = record(usageMetadata)
  const count = (name: string) => (typeof metadata[name] === 'number' ? metadata[name] : 0)
  const promptTokens = count('promptTokenCount')
  const outputTokens = count('candidatesTokenCount') + count('thoughtsTokenCount')
  return { promptTokens, outputTokens, totalTokens: count('totalTokenCount') || promptTokens + outputTokens }
}

export function malformed(message: string, usage?: TokenUsage, cause?: unknown): GeminiError {
  return new GeminiError('malformed', message, { ...(usage && { usage }), cause })
}

export function blocked(message: string, usage?: TokenUsage): GeminiError {
  return new GeminiError('blocked', message, { ...(usage && { usage }) })
}

/** The value as an object with unknown members, or an empty one. */
export function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
}
