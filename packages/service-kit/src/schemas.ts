import { type TProperties, Type } from 'typebox'
import { errorStatus } from './errors.ts'

/** The one shape of every error. */
export const ErrorShape = Type.Object({
  error: Type.String({ description: 'Stable name in snake_case' }),
  message: Type.String({ description: 'What happened and what to do' }),
})

/** The same with the names that go with one status, for a route's schema and the docs. */
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
  limit_type: Type.Optional(Type.Enum(['rpm', 'rpd', 'tpm', 'tpd', 'upstream'])),
  retry_after: Type.Optional(Type.String({ description: 'Wait that is enough, such as `37 seconds`' })),
  tenant: Type.Optional(Type.String({ description: "Whose own limit it is; absent for the shared quota's" })),
}
const retryAfter = {
  'Retry-After': Type.String({ pattern: '^\\d+$', description: 'Seconds; absent when no wait would help' }),
}

/** What any route that is passed on to a service may end in. */
export const upstreamErrors = {
  502: errorShape(502, 'Gemini or a service gave an answer that cannot be used'),
  503: errorShape(503, 'Gemini, the shared quota or a service cannot be used right now', {
    fields: { retry_after: quotaFields.retry_after },
    headers: { 'Retry-After': Type.String({ pattern: '^\\d+$', description: 'Seconds; absent when unknown' }) },
  }),
  504: errorShape(504, 'It took too long'),
}

/** The error answers of a GET route that calls Gemini. */
export const questionErrors = {
  400: errorShape(400, 'The input is not usable'),
  422: errorShape(422, 'Refused by Gemini’s safety filters'),
  429: errorShape(429, 'The shared quota, or the limit of this caller, is used up', {
    fields: quotaFields,
    headers: retryAfter,
  }),
  ...upstreamErrors,
}

/** Of one with a body. */
export const errorResponses = {
  ...questionErrors,
  413: errorShape(413, 'The body is too large'),
  415: errorShape(415, 'The body is of a type that is not taken here'),
}

/** The headers of an answer of Gemini's. */
export const answerHeaders = {
  'X-Cache': Type.Enum(['memory', 'redis', 'miss', 'fallback'], { description: 'Where the answer came from' }),
}

/** What browsers and the edge need to keep an answer. */
export const cachingHeaders = {
  ETag: Type.String({ description: 'For If-None-Match; absent when the answer must not be kept' }),
  'Cache-Control': Type.String(),
}

/** 304: nothing at all. (A Null schema would be serialised, and four bytes of `null` announced.) */
export const NothingNew = Type.Unsafe<undefined>({
  type: 'null',
  description: 'The client has it already',
  headers: cachingHeaders,
})
