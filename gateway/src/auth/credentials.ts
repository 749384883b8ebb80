import { hash, randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { HttpError } from '@knowalledge/service-kit'
import type { FastifyReply } from 'fastify'

/** 256 random bits in base64url. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url')
}

/**
 * SHA-256 in hex: all that is ever kept of a secret. A slow hash would add nothing, as nobody guesses 256 random bits
 * (docs/adr/0082).
 */
export function digestOf(secret: string): string {
  return hash('sha256', secret)
}

/** What names a secret in public, such as in a log: 16 hex digits. Anybody who has the secret can work it out. */
export function publicIdOf(digest: string): string {
  return digest.slice(0, 16)
}

const nobodysDigest = digestOf('')

/** Takes the same time for any two digests, and when there is none to compare with. */
export function isSameDigest(digest: string, kept = nobodysDigest): boolean {
  return timingSafeEqual(Buffer.from(digest), Buffer.from(kept))
}

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
