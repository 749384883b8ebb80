import type { RefusalKind } from './fault-kinds.ts'

export interface QuotaViolation {
  limit: 'rpm' | 'rpd' | 'inputTpm'
  model: string
  /** 0: the tier has no access; Google then leaves quotaValue out. */
  value: number
}

/** An answer that is not 200, in Google's shape. */
export class GoogleError extends Error {
  readonly httpStatus: number
  readonly body: unknown

  constructor(httpStatus: number, status: string, message: string, details?: unknown[]) {
    super(message)
    this.httpStatus = httpStatus
    this.body = { error: { code: httpStatus, message, status, ...(details && { details }) } }
  }
}

const TROUBLESHOOTING = 'https://developers.generativeai.google/guide/troubleshooting'
const RATE_LIMITS = 'https://ai.google.dev/gemini-api/docs/rate-limits'
const METRIC_PREFIX = 'generativelanguage.googleapis.com'

const QUOTA = {
  rpm: {
    metric: `${METRIC_PREFIX}/generate_content_free_tier_requests`,
    id: 'GenerateRequestsPerMinutePerProjectPerModel-FreeTier',
  },
  rpd: {
    metric: `${METRIC_PREFIX}/generate_content_free_tier_requests`,
    id: 'GenerateRequestsPerDayPerProjectPerModel-FreeTier',
  },
  inputTpm: {
    metric: `${METRIC_PREFIX}/generate_content_free_tier_input_token_count`,
    id: 'GenerateContentInputTokensPerModelPerMinute-FreeTier',
  },
} as const

/** 429 with QuotaFailure and RetryInfo. RetryInfo truncates to whole seconds, the message does not. */
export function quotaExceeded(violations: QuotaViolation[], retrySeconds: number, retryDelay?: string): GoogleError {
  const lines = violations.map(
    ({ limit, model, value }) =>
      `* Quota exceeded for metric: ${QUOTA[limit].metric}, limit: ${value}${model ? `, model: ${model}` : ''}`,
  )
  const message =
    'You exceeded your current quota, please check your plan and billing details. For more information on this error, ' +
    `head to: ${RATE_LIMITS}. To monitor your current usage, head to: https://ai.dev/rate-limit. \n` +
    `${lines.join('\n')}\nPlease retry in ${retryDelay ?? `${retrySeconds}s`}.`
  return new GoogleError(429, 'RESOURCE_EXHAUSTED', message, [
    {
      '@type': 'type.googleapis.com/google.rpc.Help',
      links: [{ description: 'Learn more about Gemini API quotas', url: RATE_LIMITS }],
    },
    {
      '@type': 'type.googleapis.com/google.rpc.QuotaFailure',
      violations: violations.map(({ limit, model, value }) => ({
        quotaMetric: QUOTA[limit].metric,
        quotaId: QUOTA[limit].id,
        quotaDimensions: { location: 'global', model },
        ...(value > 0 && { quotaValue: String(value) }),
      })),
    },
    {
      '@type': 'type.googleapis.com/google.rpc.RetryInfo',
      retryDelay: retryDelay ?? `${Math.floor(retrySeconds)}s`,
    },
  ])
}

/** 400: our caller's request is wrong. */
export function invalidArgument(message: string): GoogleError {
  return new GoogleError(400, 'INVALID_ARGUMENT', message)
}

export function modelNotFound(model: string, version: string, method: string): GoogleError {
  return new GoogleError(
    404,
    'NOT_FOUND',
    `models/${model} is not found for API version ${version}, or is not supported for ${method}. ` +
      'Call ListModels to see the list of available models and their supported methods.',
  )
}

export function missingKey(): GoogleError {
  return new GoogleError(
    403,
    'PERMISSION_DENIED',
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other " +
      'form of API consumer identity to call this API.',
  )
}

export function invalidKey(): GoogleError {
  return new GoogleError(400, 'INVALID_ARGUMENT', 'API key not valid. Please pass a valid API key.', [
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason: 'API_KEY_INVALID',
      domain: 'googleapis.com',
      metadata: { service: METRIC_PREFIX },
    },
    {
      '@type': 'type.googleapis.com/google.rpc.LocalizedMessage',
      locale: 'en-US',
      message: 'API key not valid. Please pass a valid API key.',
    },
  ])
}

export function internalError(): GoogleError {
  return new GoogleError(
    500,
    'INTERNAL',
    `An internal error has occurred. Please retry or report in ${TROUBLESHOOTING}`,
  )
}

export function unavailable(): GoogleError {
  return new GoogleError(
    503,
    'UNAVAILABLE',
    'This model is currently experiencing high demand. Spikes in demand are usually temporary. Please try again later.',
  )
}

export function unreadablePicture(): GoogleError {
  return invalidArgument(`Unable to process input image. Please retry or report in ${TROUBLESHOOTING}`)
}

interface RefusalContext {
  model: string
  version: string
  method: string
  apiKey: string
  retryDelay: string | undefined
}

/** The error that a refusal fault stands for. */
export function refusal(kind: RefusalKind, context: RefusalContext): GoogleError {
  const { model, retryDelay } = context
  const quota = (...violations: [QuotaViolation['limit'], number][]) =>
    quotaExceeded(
      violations.map(([limit, value]) => ({ limit, model, value })),
      34.219169168,
      retryDelay,
    )
  switch (kind) {
    case '429_rpm':
      return quota(['rpm', 15])
    case '429_rpd':
      return quota(['rpd', 1500])
    case '429_input_tpm':
      return quota(['inputTpm', 1_000_000])
    case '429_rpd_and_rpm':
      return quota(['rpd', 1500], ['rpm', 15])
    case '429_limit_zero':
      return quota(['rpd', 0], ['rpm', 0], ['inputTpm', 0])
    case '429_bare':
      return new GoogleError(429, 'RESOURCE_EXHAUSTED', 'Resource has been exhausted (e.g. check quota).')
    case '429_prepay':
      return new GoogleError(
        429,
        'RESOURCE_EXHAUSTED',
        'Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.',
      )
    case '429_spending_cap':
      return new GoogleError(
        429,
        'RESOURCE_EXHAUSTED',
        'Your project has exceeded its monthly spending cap. Please go to AI Studio at https://ai.studio/spend to manage your project spend cap.',
      )
    case '404':
      return modelNotFound(model, context.version, context.method)
    case '403_no_key':
      return missingKey()
    case '400_invalid_key':
      return invalidKey()
    case '400_invalid_argument':
      return invalidArgument('Request contains an invalid argument.')
    default:
      return deniedAccess(kind, context.apiKey)
  }
}

function deniedAccess(
  kind: '400_free_tier' | '401' | '403_leaked_key' | '403_suspended_key',
  apiKey: string,
): GoogleError {
  switch (kind) {
    case '400_free_tier':
      return new GoogleError(
        400,
        'FAILED_PRECONDITION',
        'Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.',
      )
    case '401':
      return new GoogleError(
        401,
        'UNAUTHENTICATED',
        'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid ' +
          'authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.',
      )
    case '403_leaked_key':
      return new GoogleError(
        403,
        'PERMISSION_DENIED',
        'Your API key was reported as leaked. Please use another API key.',
      )
    case '403_suspended_key':
      return new GoogleError(
        403,
        'PERMISSION_DENIED',
        `Permission denied: Consumer 'api_key:${apiKey}' has been suspended.`,
        [
          {
            '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
            reason: 'CONSUMER_SUSPENDED',
            domain: 'googleapis.com',
            metadata: { service: METRIC_PREFIX, containerInfo: `api_key:${apiKey}` },
          },
        ],
      )
  }
}
