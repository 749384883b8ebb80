export { answerTags, cacheKey, type KeyParts, normaliseInput } from './key.ts'
export { createResponseCache } from './response-cache.ts'
export type {
  Answer,
  CacheEvent,
  CacheLayer,
  Claim,
  ClaimOptions,
  Produced,
  ResponseCache,
  ResponseCacheOptions,
  Stored,
} from './types.ts'
