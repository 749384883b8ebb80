import { type ErrorDetails, ErrorShape, HttpError, httpErrors, internalMessage } from '@knowalledge/service-kit'
import { type TProperties, Type } from 'typebox'

/** Every `error` that a client can meet, and its status: those of every process, and those of quota and Gemini. */
export const errorStatus = {
  ...httpErrors,
  presentation_too_large: 400,
  content_blocked: 422,
  quota_exceeded: 429,
  gemini_bad_answer: 502,
  gemini_unavailable: 503,
  gemini_not_configured: 503,
  quota_unavailable: 503,
} as const

export type ApiErrorName = keyof typeof errorStatus

export function apiError(code: ApiErrorName, message: string, details?: ErrorDetails): HttpError {
  return new HttpError({ code, statusCode: errorStatus[code] }, message, details)
}

/** What a failure is of: the model, which another one may not share, or a pool, from which other models may draw as well. */
type FailedPart = 'model' | 'pool'

/** A failure that the next model of a chain may not have. */
export class ModelError extends HttpError {
  readonly of: FailedPart

  constructor(of: FailedPart, code: ApiErrorName, message: string, details?: ErrorDetails) {
    super({ code, statusCode: errorStatus[code] }, message, details)
    this.of = of
  }
}

interface EncodedError {
  code: ApiErrorName
  /** Of a ModelError. */
  of?: FailedPart
  message: string
  fields: Record<string, string | number>
  retryAfterSeconds?: number
}

/** Everything that a client may see, so that the error reaches those who wait in other processes. */
export function encodeError(error: unknown): unknown {
  if (!(error instanceof HttpError)) return undefined
  const { code, message, fields, retryAfterSeconds } = error
  const retry = retryAfterSeconds === undefined ? {} : { retryAfterSeconds }
  return { code, message, fields, ...retry, ...(error instanceof ModelError && { of: error.of }) }
}

/** The reverse of `encodeError`; anything else becomes an internal error. */
export function decodeError(encoded: unknown): HttpError {
  const { code, message, of, ...details } = (encoded ?? {}) as Partial<EncodedError>
  if (code === undefined || !(code in errorStatus) || typeof message !== 'string')
    return new HttpError('internal_error', internalMessage, { cause: encoded })
  return of === undefined ? apiError(code, message, details) : new ModelError(of, code, message, details)
}

/** The schema of the errors with one status, for a route and the docs. */
export function errorShape(status: number, description: string, more: { fields?: TProperties; headers?: object } = {}) {
  const names = Object.entries(errorStatus).filter(([, itsStatus]) => itsStatus === status)
  return Type.Object(
    {
      ...ErrorShape.properties,
      error: Type.Enum(
        names.map(([name]) => name),
        { description: 'Stable name' },
      ),
      ...more.fields,
    },
    { description, ...(more.headers ? { headers: more.headers } : {}) },
  )
}

const quotaFields = {
  limit_type: Type.Optional(Type.Enum(['rpm', 'rpd', 'tpm', 'tpd', 'upstream', 'client'])),
  retry_after: Type.Optional(Type.String({ description: 'Wait that is enough, such as `37 seconds`' })),
  tenant: Type.Optional(Type.String({ description: "Whose own limit it is; absent for the shared quota's" })),
}
const retryAfter = {
  'Retry-After': Type.String({ pattern: '^\\d+$', description: 'Seconds; absent when no wait would help' }),
}

/** Errors of every route that the gateway passes on to a service. */
export const upstreamErrors = {
  502: errorShape(502, 'Gemini or a service gave an answer that cannot be used'),
  503: errorShape(503, 'Gemini, the shared quota or a service cannot be used right now', {
    fields: { retry_after: quotaFields.retry_after },
    headers: { 'Retry-After': Type.String({ pattern: '^\\d+$', description: 'Seconds; absent when unknown' }) },
  }),
  504: errorShape(504, 'It took too long'),
}

/** Errors of a GET route that calls Gemini. */
export const questionErrors = {
  400: errorShape(400, 'The input is not usable'),
  422: errorShape(422, 'Refused by Gemini’s safety filters'),
  429: errorShape(429, 'The shared quota, or the limit of this caller, is used up', {
    fields: quotaFields,
    headers: retryAfter,
  }),
  ...upstreamErrors,
}

/** Errors of a route with a body that calls Gemini. */
export const errorResponses = {
  ...questionErrors,
  413: errorShape(413, 'The body is too large'),
  415: errorShape(415, 'The body is of a type that is not taken here'),
}

/** In the body of an answer. */
export const modelField = Type.String({ description: 'The model that wrote it' })

/** Schemas of the headers of an answer. */
export const answerHeaders = {
  'X-Cache': Type.Enum(['memory', 'redis', 'miss', 'fallback'], { description: 'Where the answer came from' }),
  'X-Model': Type.String({
    description:
      'The model that wrote the answer; for a presentation all of them, separated by commas. It is absent when there is no explanation, and in a stream',
  }),
}
