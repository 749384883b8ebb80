import { HttpError } from '@knowalledge/service-kit'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { originsOf } from '../admission/settings.ts'

/**
 * Refuses on the routes of this scope what a browser sends for another site's page, unless CORS_ORIGINS lists its origin:
 * a page could spend quota without reading an answer. Images by their hash cost none, and browsers name no origin for them.
 */
export const refuseOtherSites = fp<{ CORS_ORIGINS: string }>(
  async (scope, { CORS_ORIGINS }) => {
    const allowed = new Set<string | undefined>(originsOf(CORS_ORIGINS))
    if (allowed.has('*')) return
    const refusal = new HttpError(
      'csrf_rejected',
      'Pages of another site cannot use this: CORS_ORIGINS does not list it.',
    )
    scope.addHook('onRequest', ({ headers, routeOptions }, _reply, done) => {
      if (headers['sec-fetch-site'] !== 'cross-site' || allowed.has(headers.origin)) return done()
      done(routeOptions.config.endpoint === 'images' ? undefined : refusal)
    })
  },
  { name: 'refuse-other-sites' },
)

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS'])

/** An `onRequest` hook: a browser sends its cookie with whatever another site makes it send, so a change needs a token too. */
export function rejectForgery(request: FastifyRequest, reply: FastifyReply, done: (error?: Error) => void): void {
  const isChange = request.caller.kind === 'session' && !safeMethods.has(request.method)
  if (!isChange) done()
  else if (request.headers['sec-fetch-site'] !== 'cross-site') request.server.csrfProtection(request, reply, done)
  else done(new HttpError('csrf_rejected', 'A session cannot be used from another site: use a key.'))
}
