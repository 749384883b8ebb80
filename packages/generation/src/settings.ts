import { redisSettings } from '@knowalledge/redis-kit'
import { type Environment, serverSettings, setting } from '@knowalledge/service-kit'
import { type Static, Type } from 'typebox'
import { gatewaySecretFaults, gatewaySettings } from './gateway-headers.ts'
import { modelFaults, modelSettings } from './models.ts'
import { poolFaults, poolSettings } from './pools.ts'
import { quotaSettings } from './quota.ts'

const cacheSettings = {
  CACHE_MEMORY_TTL_SECONDS: setting.wholeNumber('Fresh in memory', { default: 3_600, minimum: 1, maximum: 2_592_000 }),
  CACHE_REDIS_TTL_SECONDS: setting.wholeNumber('Fresh in Redis', { default: 7_200, minimum: 1, maximum: 2_592_000 }),
  CACHE_STALE_TTL_SECONDS: setting.wholeNumber('Kept as a stale fallback copy', {
    default: 86_400,
    minimum: 1,
    maximum: 2_592_000,
  }),
  CACHE_MAX_ITEMS: setting.wholeNumber('Answers held in memory', { default: 10_000, minimum: 1, maximum: 10_000_000 }),
  CACHE_MAX_MEGABYTES: setting.wholeNumber('Memory that held answers may take', {
    default: 64,
    minimum: 1,
    maximum: 65_536,
  }),
  CACHE_REDIS_MAX_IMAGES: setting.wholeNumber(
    'Images kept in Redis (values over 64 KiB); the oldest are deleted first',
    {
      default: 100,
      minimum: 1,
      maximum: 100_000,
    },
  ),
  CACHE_REDIS_MAX_IMAGE_MEGABYTES: setting.wholeNumber('Memory of Redis that these images may take', {
    default: 128,
    minimum: 1,
    maximum: 1_048_576,
  }),
}

const thinkingBudget = (what: string) =>
  Type.Optional(
    Type.Integer({
      description: `Most tokens that a model may think for ${what}, beside those of its answer; absent: as the model likes`,
      minimum: 0,
      maximum: 65_536,
    }),
  )

const geminiSettings = {
  GEMINI_API_KEY: setting.optionalText('Key of the Gemini API'),
  GOOGLE_API_KEY: setting.optionalText('The same by its other name; GEMINI_API_KEY goes first'),
  GEMINI_BASE_URL: Type.String({
    description: 'Where the Gemini API is',
    default: 'https://generativelanguage.googleapis.com',
    pattern: '^https?://[^/]',
    expectation: 'an http:// or https:// URL',
  }),
  ...modelSettings,
  IMAGE_BACKEND: setting.oneOf(
    ['gemini', 'imagen'],
    'How a picture is asked for: generateContent, or predict (Vertex AI)',
    {
      default: 'gemini',
    },
  ),
  THINKING_BUDGET_SUBTOPICS: thinkingBudget('the subtopics of a topic'),
  THINKING_BUDGET_EXPLANATION: thinkingBudget('an explanation'),
  THINKING_BUDGET_IMAGE2TOPIC: thinkingBudget('the topic of an image'),
  GEMINI_TIMEOUT_MS: setting.wholeNumber('Timeout of one answer, retries included', {
    default: 30_000,
    minimum: 100,
    maximum: 600_000,
  }),
}

const waitSettings = {
  MAX_WAIT_SECONDS: setting.wholeNumber('Longest wait in line for a request with `Prefer: wait=N`; 0: none waits', {
    default: 30,
    minimum: 0,
    maximum: 600,
  }),
  MAX_STREAM_WAIT_SECONDS: setting.wholeNumber('The same for a request that accepts server-sent events', {
    default: 300,
    minimum: 0,
    maximum: 3_600,
  }),
}

/** Everything that a service reads. */
export const serviceSettings = (defaultPort: number) =>
  Type.Object({
    ...serverSettings(defaultPort),
    ...gatewaySettings,
    ...geminiSettings,
    ...waitSettings,
    ...redisSettings,
    ...quotaSettings,
    ...poolSettings,
    ...cacheSettings,
  })

export type ServiceConfig = Readonly<Static<ReturnType<typeof serviceSettings>>>

/** Faults between settings that are valid each by itself. */
export function serviceFaults(read: Partial<ServiceConfig>, env: Environment): string[] {
  return [...gatewaySecretFaults(read, env), ...modelFaults(read), ...poolFaults(read)]
}

/** Most tokens of thoughts by operation; undefined: as the model likes. */
export type ThinkingBudgets = ReturnType<typeof thinkingBudgetsOf>

export function thinkingBudgetsOf(config: ServiceConfig) {
  return {
    create_subtopics: config.THINKING_BUDGET_SUBTOPICS,
    create_presentation: config.THINKING_BUDGET_EXPLANATION,
    image2topic: config.THINKING_BUDGET_IMAGE2TOPIC,
  }
}
