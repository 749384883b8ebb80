import { Type } from 'typebox'

/** Every `error` that any process may answer, and its status. Names are stable: clients rely on them. */
export const httpErrors = {
  invalid_input: 400,
  unauthorized: 401,
  csrf_rejected: 403,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  payload_too_large: 413,
  unsupported_media_type: 415,
  expectation_failed: 417,
  rate_limited: 429,
  headers_too_large: 431,
  internal_error: 500,
  bad_gateway: 502,
  service_unavailable: 503,
  overloaded: 503,
  timeout: 504,
} as const

export type ErrorName = keyof typeof httpErrors

export interface ErrorDetails {
  /** Sent beside `error` and `message`, such as `limit_type`. */
  fields?: Record<string, string | number>
  /** Becomes the Retry-After header. */
  retryAfterSeconds?: number
  /** Logged, never sent. */
  cause?: unknown
}

/** An error that clients may see: `message` says what happened and what to do, and shows nothing internal. */
export class HttpError extends Error {
  readonly code: string
  readonly statusCode: number
  readonly fields: Record<string, string | number>
  readonly retryAfterSeconds: number | undefined

  /** `error`: a name from above, or one of another catalogue with its status. */
  constructor(error: ErrorName | { code: string; statusCode: number }, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause })
    const { code, statusCode } = typeof error === 'string' ? { code: error, statusCode: httpErrors[error] } : error
    this.name = 'HttpError'
    this.code = code
    this.statusCode = statusCode
    this.fields = details.fields ?? {}
    this.retryAfterSeconds = details.retryAfterSeconds
  }
}

export const internalMessage = 'Something went wrong on our side. Try again; if it stays, report the X-Request-Id.'

/** The shape of every error. */
export const ErrorShape = Type.Object({
  error: Type.String({ description: 'Stable name in snake_case' }),
  message: Type.String({ description: 'What happened and what to do' }),
})
