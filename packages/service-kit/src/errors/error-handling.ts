import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { HttpError, internalMessage } from './http-error.ts'

export interface ErrorHandlingOptions {
  /** Notified of each error that is answered, for the metrics. */
  onAnswered?: (error: HttpError, request: FastifyRequest) => void
}

/** One shape for every error: `{error, message}`. 5xx show nothing internal; their cause is logged once. */
export const errorHandling = fp<ErrorHandlingOptions>(
  async (app, { onAnswered }) => {
    const answer = (error: HttpError, request: FastifyRequest, reply: FastifyReply) => {
      // What fails because the client disconnected, or broke off its body, is not a failure of this process.
      if (!hasLeft(error) && !request.raw.aborted && !reply.raw.destroyed) {
        // Load shedding logs by itself, and not once for each request.
        if (error.statusCode >= 500 && error.code !== 'overloaded')
          request.log.error({ err: error.cause, error: error.code }, error.message)
        onAnswered?.(error, request)
      }
      if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds))
      return reply
        .code(error.statusCode)
        .header('cache-control', 'no-store')
        .send({ error: error.code, message: error.message, ...error.fields })
    }

    app.setErrorHandler<FastifyError>((error, request, reply) => answer(toHttpError(error), request, reply))
    app.setNotFoundHandler((request, reply) => {
      const allowed = otherMethods(app, request)
      if (allowed.length > 0) reply.header('allow', allowed.join(', '))
      return answer(allowed.length > 0 ? methodNotAllowed(request, allowed) : notFound(request), request, reply)
    })
  },
  { name: 'error-handling' },
)

/** True for what `clientSignal` aborted. */
function hasLeft({ cause }: HttpError): boolean {
  return cause instanceof DOMException && cause.name === 'AbortError'
}

/** Turns whatever was thrown into an error of the catalogue. */
export function toHttpError(error: FastifyError | HttpError | Error): HttpError {
  if (error instanceof HttpError) return error
  const { code, statusCode = 500, validation, message } = error as FastifyError
  if (validation) return new HttpError('invalid_input', describeValidation(error as FastifyError))
  const known = fastifyErrors[code]
  if (known) return known(error)
  if (statusCode === 413) return new HttpError('payload_too_large', message)
  if (statusCode === 415) return new HttpError('unsupported_media_type', message)
  if (statusCode >= 400 && statusCode < 500) {
    // Fastify's own and its plugins' have codes and sentences; what a proxy throws at a path has neither.
    return new HttpError('invalid_input', code === undefined ? 'The path of this request is not valid.' : message)
  }
  return new HttpError('internal_error', internalMessage, { cause: error })
}

/** Fastify's own errors in words that name the remedy. */
const fastifyErrors: Record<string, (error: Error) => HttpError> = {
  FST_ERR_CTP_INVALID_JSON_BODY: () => new HttpError('invalid_input', 'The body is not valid JSON.'),
  FST_ERR_CTP_EMPTY_JSON_BODY: () => new HttpError('invalid_input', 'The body is empty: send a JSON object.'),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () =>
    new HttpError(
      'unsupported_media_type',
      'The Content-Type is not supported here: see /docs for what this route takes.',
    ),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new HttpError('invalid_input', 'The body is not as long as its Content-Length says.'),
  FST_ERR_CTP_BODY_TOO_LARGE: () =>
    new HttpError('payload_too_large', 'The body is too large: JSON may have at most 256 KiB.'),
  FST_CSRF_MISSING_SECRET: csrfRejected,
  FST_CSRF_INVALID_TOKEN: csrfRejected,
  FST_ERR_BAD_URL: () => new HttpError('invalid_input', 'The path is not a valid URL.'),
}

function csrfRejected(): HttpError {
  return new HttpError('csrf_rejected', 'This needs the header X-CSRF-Token with what GET /api/csrf-token says.')
}

function notFound(request: FastifyRequest): HttpError {
  return new HttpError(
    'not_found',
    `There is no ${request.method} ${pathOf(request)} here: see /docs for what there is.`,
  )
}

function methodNotAllowed(request: FastifyRequest, allowed: string[]): HttpError {
  return new HttpError(
    'method_not_allowed',
    `${request.method} is not possible on ${pathOf(request)}: use ${allowed.join(' or ')}.`,
  )
}

function pathOf(request: FastifyRequest): string {
  return (request.url.split('?', 1)[0] ?? '').slice(0, 200)
}

function otherMethods(app: FastifyInstance, request: FastifyRequest): string[] {
  const url = request.url.split('?', 1)[0] ?? '/'
  return ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter(
    (method) => app.findRoute({ method: method as 'GET', url }) !== null,
  )
}

type Fault = NonNullable<FastifyError['validation']>[number]

/** A message that names each field and its bound, such as `topic must have at most 500 characters.` */
function describeValidation(error: FastifyError): string {
  const faults = error.validation ?? []
  const sentences = [...new Set(faults.filter((fault) => fault.keyword !== 'anyOf').map(describeFault))]
  return `${sentences.slice(0, 5).join('; ')}.`
}

function describeFault(fault: Fault): string {
  const field = fieldOf(fault)
  const { limit, missingProperty, allowedValues, type } = fault.params as Record<string, unknown>
  switch (fault.keyword) {
    case 'required':
      return `${field === 'The body' ? '' : `${field}.`}${missingProperty} is missing`
    case 'minLength':
      return limit === 1
        ? `${field} is empty: it needs at least 1 character`
        : `${field} must have at least ${limit} characters`
    case 'maxLength':
      return `${field} must have at most ${limit} characters`
    case 'minItems':
      return `${field} must have at least ${limit} ${limit === 1 ? 'entry' : 'entries'}`
    case 'maxItems':
      return `${field} must have at most ${limit} entries`
    case 'type':
      return `${field} must be ${typeNames[String(type)] ?? type}`
    case 'enum':
      return `${field} must be one of ${(allowedValues as unknown[]).join(', ')}`
    default:
      return `${field} ${fault.message ?? 'is not as it must be'}`
  }
}

const typeNames: Record<string, string> = {
  string: 'a text',
  array: 'a list',
  object: 'a JSON object',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
}

/** `/focus/3` → `focus[3]`; the top is the body. */
function fieldOf({ instancePath }: Fault): string {
  if (instancePath === '') return 'The body'
  return instancePath
    .slice(1)
    .replaceAll(/\/(\d+)/g, '[$1]')
    .replaceAll('/', '.')
}
