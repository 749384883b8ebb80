import { isUtf8 } from 'node:buffer'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { HttpError } from '../errors/http-error.ts'

/**
 * JSON is UTF-8 (RFC 8259 §8.1). Anything else would be read with replacement characters, processed like that. Not
 * for a proxy that streams JSON, which has a parser of its own.
 */
export const utf8Json = fp(
  async (app) => {
    const parse = app.getDefaultJsonParser('error', 'error')
    app.removeContentTypeParser('application/json')
    app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
      if (isUtf8(body)) parse(request, body.toString(), done)
      else done(new HttpError('invalid_input', 'The body is not UTF-8, as JSON must be.'))
    })
  },
  { name: 'utf8-json' },
)

/** A body may hold 20,000, which takes tens of milliseconds to go through. */
const maxFields = 100

/**
 * For `preValidation`: lengths are counted after trimming, in strings and lists of strings of the body and of the query.
 * A lone surrogate, which JSON can write and UTF-8 cannot, is a 400, and so are too many fields.
 */
export function trimTexts({ body, query }: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void {
  for (const input of [body, query]) {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) continue
    const fields = input as Record<string, unknown>
    if (Object.keys(fields).length > maxFields) {
      done(new HttpError('invalid_input', `There are too many fields: at most ${maxFields}.`))
      return
    }
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

/** For `preValidation`: optional fields of the body that are no strings count as absent, so that they fail no request. */
export function ignoreUnlessText(...names: string[]) {
  return ({ body }: FastifyRequest, _reply: FastifyReply, done: () => void): void => {
    if (typeof body === 'object' && body !== null)
      for (const name of names)
        if (typeof (body as Record<string, unknown>)[name] !== 'string') delete (body as Record<string, unknown>)[name]
    done()
  }
}

function isHalfCharacter(value: unknown): boolean {
  return typeof value === 'string' && !value.isWellFormed()
}

/** Without a character that anyone sees, a text is empty. */
function trimmed(value: unknown): unknown {
  if (typeof value !== 'string') return value
  return /^[\p{Cc}\p{Cf}\s]*$/u.test(value) ? '' : value.trim()
}
