import { hash } from 'node:crypto'
import type { GenerationAnswer } from '@knowalledge/generation'
import { askedLanguage, isKnownToClient } from '@knowalledge/service-kit'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Browsers for 5 minutes, the edge for 15, and the edge for a day when nothing better can be had. */
const cacheable = 'public, max-age=300, s-maxage=900, stale-if-error=86400'

/** By answer: one from memory is the same frozen object each time. */
const etags = new WeakMap<object, string>()

/**
 * Adds what browsers and the edge need to an answer, and says whether it is what the client already has (then: 304).
 * A stale copy, or an answer that failed its check, must not live on in caches that nobody can empty: `no-store`.
 */
export function isWhatTheClientHas(
  request: FastifyRequest,
  reply: FastifyReply,
  { value, model, layer, fromFallback }: GenerationAnswer<{ passed: boolean }>,
): boolean {
  reply.header('x-cache', layer).header('x-model', model)
  const { language } = request.query as { language?: string }
  if (askedLanguage(language) === undefined) reply.header('vary', 'Accept-Language')
  if (!value.passed || fromFallback) {
    reply.header('cache-control', 'no-store')
    return false
  }
  const etag = etagOf(value, model)
  reply.header('cache-control', cacheable).header('etag', etag)
  return isKnownToClient(request, etag)
}

/** Weak: `cached` differs between two copies of the same answer. */
function etagOf(value: object, model: string): string {
  const known = etags.get(value)
  if (known !== undefined) return known
  const etag = `W/"${hash('sha256', JSON.stringify([model, value]), 'base64url')}"`
  etags.set(value, etag)
  return etag
}
