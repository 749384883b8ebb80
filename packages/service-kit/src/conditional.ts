import type { FastifyRequest } from 'fastify'

/** Does the client have this already? RFC 9110 §13.1.2: `If-None-Match` is a list of tags or `*`, compared weakly. */
export function isKnownToClient(request: FastifyRequest, etag: string): boolean {
  const known = request.headers['if-none-match']
  if (known === undefined) return false
  const opaque = (tag: string) => tag.trim().replace(/^W\//, '')
  return known.trim() === '*' || known.split(',').some((tag) => opaque(tag) === opaque(etag))
}
