import type { IncomingHttpHeaders } from 'node:http'
import { HttpError } from '@knowalledge/service-kit'
import type { FastifyReply } from 'fastify'

/** The key that a request shows, whatever it looks like. Throws HttpError when its two headers name different ones. */
export function givenKey({ authorization, 'x-api-key': header }: IncomingHttpHeaders): string | undefined {
  const bearer = authorization?.replace(/^bearer(?:\s+|$)/i, '')
  const apiKey = typeof header === 'string' ? header.trim() : undefined
  if (bearer !== undefined && apiKey !== undefined && bearer !== apiKey) {
    throw new HttpError('invalid_input', 'Authorization and X-API-Key name different keys: send one of them.')
  }
  return bearer ?? apiKey
}

/** One answer for whoever is not let in, whatever the reason. */
export function unauthorized(reply: FastifyReply): HttpError {
  reply.header('www-authenticate', 'Bearer')
  return new HttpError(
    'unauthorized',
    'This needs a valid API key (`Authorization: Bearer <key>` or `X-API-Key: <key>`) or a session.',
  )
}
