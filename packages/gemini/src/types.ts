/** One interface to Google; nothing outside this package knows the wire, the SDK or its errors. */
export interface Gemini {
  /** Structured text: the model is held to `schema` and the answer is its parsed JSON, unchecked beyond that. */
  generateJson(request: JsonRequest): Promise<GeminiAnswer<unknown>>
  /** The same for a question about a picture. */
  describePicture(request: JsonRequest & { picture: Picture }): Promise<GeminiAnswer<unknown>>
  generatePicture(request: { model: string; prompt: string; signal: AbortSignal }): Promise<GeminiAnswer<Picture>>
  close(): Promise<void>
}

export interface JsonRequest {
  model: string
  system?: string
  prompt: string
  /** An OpenAPI-style response schema as the Gemini API takes it: `{ type: 'OBJECT', properties: … }`. */
  schema: ResponseSchema
  /** Of the answer, without thoughts where these have a budget. */
  maxOutputTokens: number
  /** Multiplies `maxOutputTokens`. Default 1. */
  outputFactor?: number | undefined
  /** Most tokens of thoughts. Default: the model decides, and its thoughts count against `maxOutputTokens`. */
  thinkingBudget?: number | undefined
  signal: AbortSignal
}

export type ResponseSchema =
  | { type: 'STRING' | 'INTEGER' | 'NUMBER' | 'BOOLEAN'; description?: string; enum?: string[] }
  | { type: 'ARRAY'; items: ResponseSchema; minItems?: number; maxItems?: number; description?: string }
  | { type: 'OBJECT'; properties: Record<string, ResponseSchema>; required?: string[]; description?: string }

export interface Picture {
  bytes: Uint8Array
  /** What the bytes truly are: `image/png`, `image/jpeg`, … */
  mimeType: string
}

export interface GeminiAnswer<T> {
  value: T
  usage: TokenUsage
  /** The model that really answered; Google reroutes old names silently. */
  modelVersion: string
}

/** total = prompt + candidates + thoughts. All 0: Google reported none (Imagen never does), so keep the estimate. */
export interface TokenUsage {
  promptTokens: number
  outputTokens: number
  totalTokens: number
}

export type GeminiErrorKind =
  /** No key, a wrong key, a leaked key, a country or tier without access: an operator must act. */
  | 'not_configured'
  /** 429 of any sort; `pause` says what the fleet must do. */
  | 'rate_limited'
  /** 400 for another reason: our request is wrong. */
  | 'rejected'
  /** 404: there is no such model, or not any more. */
  | 'not_found'
  /** Google's safety filters refused the prompt or the answer. */
  | 'blocked'
  /** The answer reached its bound of tokens: a larger one may help. */
  | 'cut_off'
  /** It answered, but not with something that can be used: broken JSON, no candidates. */
  | 'malformed'
  /** 5xx, refused, reset, no name. */
  | 'unavailable'
  /** The signal's deadline passed. */
  | 'timeout'
  /** The signal was aborted for another reason: nobody waits any more. */
  | 'cancelled'

/** From a 429. `delayMs` absent: Google gave no usable delay. `untilDayEnds`: a per-day limit, whatever RetryInfo says. */
export interface PauseAdvice {
  limitType: 'rpm' | 'rpd' | 'tpm' | 'tpd' | 'upstream'
  delayMs?: number
  untilDayEnds: boolean
  /** `limit: 0`, spent credits, spending cap: waiting will not help. */
  terminal: boolean
}
