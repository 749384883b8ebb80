import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'

/** True when the client has this already. RFC 9110 §13.1.2: `If-None-Match` is a list of tags or `*`, compared weakly. */
export function isKnownToClient(request: FastifyRequest, etag: string): boolean {
  const known = request.headers['if-none-match']
  if (known === undefined) return false
  const opaque = (tag: string) => tag.trim().replace(/^W\//, '')
  return known.trim() === '*' || known.split(',').some((tag) => opaque(tag) === opaque(etag))
}

/** Schemas of the headers that browsers and the edge need to keep an answer. */
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
