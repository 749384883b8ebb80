import { redisSettings } from '@knowalledge/redis-kit'
import { Type } from 'typebox'
import { setting } from './environment.ts'

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/** Where a process listens and how much it says. */
export const serverSettings = (defaultPort: number) => ({
  HOST: setting.text('Address to listen on', { default: '0.0.0.0' }),
  PORT: setting.wholeNumber('Port to listen on', { default: defaultPort, minimum: 0, maximum: 65_535 }),
  DRAIN_MS: setting.wholeNumber(
    'After SIGTERM: how long `/ready` says no before the end, for load balancers to notice',
    {
      default: 1_500,
      minimum: 0,
      maximum: 8_000,
    },
  ),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(
    Type.String({
      description: 'OTLP/HTTP collector that gets traces, such as http://collector:4318; without it nothing is traced',
      pattern: '^https?://[^/]',
      expectation: 'an http:// or https:// URL',
    }),
  ),
  LOG_LEVEL: setting.oneOf([...logLevels], 'Least severe log line that is written', { default: 'info' }),
})

export const quotaSettings = {
  QUOTA_POOL: Type.String({
    description: 'Name of the shared quota: one a Gemini project',
    default: 'gemini',
    pattern: '^[A-Za-z0-9_.-]{1,64}$',
    expectation: '1 to 64 letters, digits, dots, dashes or underscores',
  }),
  QUOTA_RPM: setting.wholeNumber('Requests in any minute', { default: 15, minimum: 1, maximum: 1_000_000 }),
  QUOTA_RPD: setting.wholeNumber('Requests a day', { default: 1_500, minimum: 1, maximum: 1_000_000_000 }),
  QUOTA_TPM: setting.wholeNumber('Tokens in any minute', { default: 1_000_000, minimum: 1, maximum: 1_000_000_000 }),
  QUOTA_TPD: setting.wholeNumber('Tokens a day', { default: 50_000_000, minimum: 1, maximum: 1_000_000_000_000 }),
  QUOTA_WINDOW_MS: setting.wholeNumber('Length of the minute; another than 60000 only where a test scales time', {
    default: 60_000,
    minimum: 1_000,
    maximum: 60_000,
  }),
  QUOTA_TRANSIT_MS: setting.wholeNumber(
    'How much later than it was reserved a call may be sent; also the timeout of Redis',
    {
      default: 500,
      minimum: 50,
      maximum: 10_000,
    },
  ),
  QUOTA_SAFETY_MARGIN: setting.number('Share of each limit that explanations of a presentation may fill', {
    default: 0.8,
    exclusiveMinimum: 0,
    maximum: 1,
  }),
  QUOTA_NEW_POOL: setting.oneOf(
    ['hold', 'open'],
    'open: an empty Redis is used at once, without waiting one window; for development only',
    { default: 'hold' },
  ),
  QUOTA_OUTAGE_RPM: setting.wholeNumber(
    'Requests a minute that each service instance may use while Redis cannot be used; always subtracted from the shared limits',
    { default: 0, minimum: 0, maximum: 1_000_000 },
  ),
  QUOTA_MAX_INSTANCES: setting.wholeNumber(
    'Service instances for which QUOTA_OUTAGE_RPM is set aside; required with it',
    { default: 0, minimum: 0, maximum: 10_000 },
  ),
  QUOTA_ADAPTIVE_ESTIMATES: setting.flag('false: reserve the same tokens for good; true: learn what calls use', {
    default: true,
  }),
  QUOTA_DAY_TIMEZONE: Type.Refine(
    Type.String({
      description: 'IANA zone whose midnight ends the day',
      default: 'America/Los_Angeles',
      expectation: 'an IANA time zone such as America/Los_Angeles',
    }),
    isTimeZone,
    () => 'not a time zone',
  ),
}

export interface QuotaConfig {
  QUOTA_POOL: string
  QUOTA_RPM: number
  QUOTA_RPD: number
  QUOTA_TPM: number
  QUOTA_TPD: number
  QUOTA_WINDOW_MS: number
  QUOTA_TRANSIT_MS: number
  QUOTA_SAFETY_MARGIN: number
  QUOTA_NEW_POOL: 'hold' | 'open'
  QUOTA_OUTAGE_RPM: number
  QUOTA_MAX_INSTANCES: number
  QUOTA_DAY_TIMEZONE: string
}

/** The settings as the quota-client takes them. Throws a RangeError for outage budgets that do not fit the limit. */
export function quotaOptions(config: QuotaConfig) {
  const { QUOTA_OUTAGE_RPM: rpm, QUOTA_MAX_INSTANCES: maxInstances } = config
  if (rpm > 0 && (maxInstances === 0 || rpm * maxInstances >= config.QUOTA_RPM))
    throw new RangeError(
      `QUOTA_OUTAGE_RPM × QUOTA_MAX_INSTANCES must be above 0 and below QUOTA_RPM (${config.QUOTA_RPM}), not ${rpm} × ${maxInstances}`,
    )
  return {
    pool: config.QUOTA_POOL,
    limits: { rpm: config.QUOTA_RPM, rpd: config.QUOTA_RPD, tpm: config.QUOTA_TPM, tpd: config.QUOTA_TPD },
    windowMs: config.QUOTA_WINDOW_MS,
    transitMs: config.QUOTA_TRANSIT_MS,
    safetyMargin: config.QUOTA_SAFETY_MARGIN,
    newPool: config.QUOTA_NEW_POOL,
    outage: rpm > 0 ? { rpm, maxInstances } : undefined,
    dayTimeZone: config.QUOTA_DAY_TIMEZONE,
  }
}

const cacheSettings = {
  CACHE_MEMORY_TTL_SECONDS: setting.wholeNumber('Fresh in memory', { default: 3_600, minimum: 1, maximum: 2_592_000 }),
  CACHE_REDIS_TTL_SECONDS: setting.wholeNumber('Fresh in Redis', { default: 7_200, minimum: 1, maximum: 2_592_000 }),
  CACHE_STALE_TTL_SECONDS: setting.wholeNumber('Kept as a stale fallback copy', {
    default: 86_400,
    minimum: 1,
    maximum: 2_592_000,
  }),
  CACHE_MAX_ITEMS: setting.wholeNumber('Answers held in memory', { default: 10_000, minimum: 1, maximum: 10_000_000 }),
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
  CACHE_MAX_MEGABYTES: setting.wholeNumber('Memory that held answers may take', {
    default: 64,
    minimum: 1,
    maximum: 65_536,
  }),
}

const geminiSettings = {
  GEMINI_API_KEY: setting.optionalText('Key of the Gemini API'),
  GOOGLE_API_KEY: setting.optionalText('The same by its other name; GEMINI_API_KEY goes first'),
  GEMINI_BASE_URL: Type.String({
    description: 'Where the Gemini API is',
    default: 'https://generativelanguage.googleapis.com',
    pattern: '^https?://[^/]',
    expectation: 'an http:// or https:// URL',
  }),
  GEMINI_TEXT_MODEL: setting.text('Model for subtopics and explanations', { default: 'gemini-3.8-flash' }),
  GEMINI_VISION_MODEL: setting.text('Model for pictures sent in', { default: 'gemini-3.8-flash' }),
  GEMINI_IMAGE_MODEL: setting.text('Model that draws', { default: 'gemini-3.1-flash-image' }),
  IMAGE_BACKEND: setting.oneOf(
    ['gemini', 'imagen'],
    'How a picture is asked for: generateContent, or predict (Vertex AI)',
    {
      default: 'gemini',
    },
  ),
  GEMINI_TIMEOUT_MS: setting.wholeNumber('Timeout of one answer, retries included', {
    default: 30_000,
    minimum: 100,
    maximum: 600_000,
  }),
}

/** Everything that a service which asks Gemini reads. */
export const geminiServiceSettings = (defaultPort: number) => ({
  ...serverSettings(defaultPort),
  ...geminiSettings,
  ...redisSettings,
  ...quotaSettings,
  ...cacheSettings,
})

function isTimeZone(value: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: value })
    return true
  } catch {
    return false // the only thing that throws here is an unknown zone
  }
}
