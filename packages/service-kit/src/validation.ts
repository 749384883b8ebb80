import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { HttpError } from './errors.ts'

type Fault = NonNullable<FastifyError['validation']>[number]

/** A message that names each field and its bound, such as `topic must have at most 500 characters.` */
export function describeValidation(error: FastifyError): string {
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

/**
 * For `preValidation`: lengths are counted after trimming, in texts and lists of texts of the body and of the query. Half
 * a character, which JSON can write and UTF-8 cannot, is a 400.
 */
export function trimTexts({ body, query }: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  for (const input of [body, query]) {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) continue
    const fields = input as Record<string, unknown>
    for (const [name, value] of Object.entries(fields)) {
      if (Array.isArray(value) ? value.some(isHalfCharacter) : isHalfCharacter(value)) {
        done(new HttpError('invalid_input', `${name} holds a lone surrogate, which is no character.`))
        return
      }
      fields[name] = Array.isArray(value) ? value.map(trimmed) : trimmed(value)
    }
  }
  done()
}

function isHalfCharacter(value: unknown): boolean {
  return typeof value === 'string' && !value.isWellFormed()
}

/** Without a character that anyone sees, a text is empty. */
function trimmed(value: unknown): unknown {
  if (typeof value !== 'string') return value
  return /^[\p{Cc}\p{Cf}\s]*$/u.test(value) ? '' : value.trim()
}
