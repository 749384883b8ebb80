/** The catalogue: every `error` a client can meet, and the status it comes with. Names are stable; clients rely on them. */
export const errorStatus = {
  invalid_input: 400,
  presentation_too_large: 400,
  unauthorized: 401,
  csrf_rejected: 403,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  payload_too_large: 413,
  unsupported_media_type: 415,
  expectation_failed: 417,
  content_blocked: 422,
  quota_exceeded: 429,
  rate_limited: 429,
  headers_too_large: 431,
  internal_error: 500,
  gemini_bad_answer: 502,
  gemini_unavailable: 503,
  gemini_not_configured: 503,
  service_unavailable: 503,
  overloaded: 503,
  quota_unavailable: 503,
  bad_gateway: 502,
  timeout: 504,
} as const

export type ErrorName = keyof typeof errorStatus

export interface ErrorDetails {
  /** Sent beside `error` and `message`, such as `limit_type`. */
  fields?: Record<string, string | number>
  /** Becomes the Retry-After header. */
  retryAfterSeconds?: number
  /** Logged, never sent. */
  cause?: unknown
}

/** An error a client may see: `message` says what happened and what to do, and holds nothing internal. */
export class HttpError extends Error {
  readonly code: ErrorName
  readonly statusCode: number
  readonly fields: Record<string, string | number>
  readonly retryAfterSeconds: number | undefined

  constructor(code: ErrorName, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause })
    this.name = 'HttpError'
    this.code = code
    this.statusCode = errorStatus[code]
    this.fields = details.fields ?? {}
    this.retryAfterSeconds = details.retryAfterSeconds
  }

  /** Everything a client may see, so that the error can travel to those who wait in other processes. */
  toJSON(): SentError {
    const { code, message, fields, retryAfterSeconds } = this
    return { code, message, fields, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) }
  }

  /** The reverse of `toJSON`; anything else is an internal error. */
  static fromJSON(sent: unknown): HttpError {
    const { code, message, ...details } = (sent ?? {}) as Partial<SentError>
    if (code === undefined || !(code in errorStatus) || typeof message !== 'string') {
      return new HttpError('internal_error', internalMessage, { cause: sent })
    }
    return new HttpError(code, message, details)
  }
}

export const internalMessage = 'Something went wrong on our side. Try again; if it stays, report the X-Request-Id.'

interface SentError {
  code: ErrorName
  message: string
  fields: Record<string, string | number>
  retryAfterSeconds?: number
}
