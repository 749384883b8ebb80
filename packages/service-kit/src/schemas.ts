import { Type } from 'typebox'

/** The one shape of every error. */
export const ErrorShape = Type.Object({
  error: Type.String({ description: 'Stable name in snake_case' }),
  message: Type.String({ description: 'What happened and what to do' }),
})

const QuotaErrorShape = Type.Object({
  ...ErrorShape.properties,
  limit_type: Type.Optional(Type.Enum(['rpm', 'rpd', 'tpm', 'tpd', 'upstream'])),
  retry_after: Type.Optional(Type.String({ description: 'Wait that is enough, such as `37 seconds`' })),
  tenant: Type.Optional(Type.String({ description: "Whose own limit it is; absent for the shared quota's" })),
})

/** The error answers of a route that calls Gemini, for its schema and the docs. */
export const errorResponses = {
  400: ErrorShape,
  413: ErrorShape,
  415: ErrorShape,
  422: ErrorShape,
  429: QuotaErrorShape,
  500: ErrorShape,
  502: ErrorShape,
  503: ErrorShape,
  504: ErrorShape,
}

/** 304: nothing at all. (A Null schema would be serialised, and four bytes of `null` announced.) */
export const NothingNew = Type.Unsafe<undefined>({ type: 'null', description: 'The client has it already' })
