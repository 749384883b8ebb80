export { createGemini, type GeminiOptions } from './create-gemini.ts'
export { GeminiError } from './errors.ts'
export type {
  Gemini,
  GeminiAnswer,
  GeminiErrorKind,
  JsonRequest,
  PauseAdvice,
  Picture,
  ResponseSchema,
  TokenUsage,
} from './types.ts'
