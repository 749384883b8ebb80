import { type App, ErrorShape } from '@knowalledge/service-kit'
import { Type } from 'typebox'
import { rejectForgery } from './csrf.ts'
import type { Identity, SessionWithKey } from './identity.ts'

const SessionShape = Type.Object({
  tenant: Type.String(),
  expires_at: Type.String({ format: 'date-time', description: 'However much it is used' }),
  idle_expires_at: Type.String({ format: 'date-time', description: 'Unless it is used' }),
})
const TokenShape = Type.Object({ csrf_token: Type.String({ description: 'For the header X-CSRF-Token' }) })
/** 204: nothing at all. */
const Ended = Type.Unsafe<undefined>({ type: 'null', description: 'The session is gone' })
const refusals = { 401: ErrorShape, 503: ErrorShape }

export interface SessionRoutesOptions {
  identity: Identity
  /** Does the cookie travel over HTTPS only? */
  secure: boolean
}

/** `/api/session` and `/api/csrf-token`: a page shows a key once and holds a cookie from then on, which no script can read. */
export function sessionRoutes(app: App, { identity, secure }: SessionRoutesOptions): void {
  app.register(async (scope) => {
    scope.addHook('onRequest', (_request, reply, done) => {
      reply.header('cache-control', 'no-store')
      done()
    })
    const cookieOptions = { path: '/', httpOnly: true, sameSite: 'lax', secure } as const
    login(scope as App, { identity, cookieOptions })
    lookAtSession(scope as App, identity)
    logout(scope as App, { identity, cookieOptions })
  })
}

interface CookieRouteOptions {
  identity: Identity
  cookieOptions: { path: string; httpOnly: boolean; sameSite: 'lax'; secure: boolean }
}

function login(app: App, { identity, cookieOptions }: CookieRouteOptions): void {
  app.post(
    '/api/session',
    {
      config: { endpoint: 'session' },
      onRequest: identity.requireKey,
      schema: {
        summary: 'Exchange an API key for a session cookie',
        tags: ['session'],
        response: { 201: SessionShape, 400: ErrorShape, ...refusals },
      },
    },
    async (request, reply) => {
      const { cookie, session } = await identity.login(request, reply)
      reply.setCookie(identity.sessionCookie, cookie, cookieOptions)
      return reply.code(201).send(shown(session))
    },
  )
}

function lookAtSession(app: App, { requireSession }: Identity): void {
  const options = { config: { endpoint: 'session' }, onRequest: requireSession } as const
  const about = { tags: ['session'] }
  app.get(
    '/api/session',
    {
      ...options,
      schema: {
        ...about,
        summary: 'Whose session this is, and until when',
        response: { 200: SessionShape, ...refusals },
      },
    },
    async ({ session }) => shown(session as SessionWithKey),
  )
  app.get(
    '/api/csrf-token',
    {
      ...options,
      schema: {
        ...about,
        summary: 'What a change in a session’s name needs',
        response: { 200: TokenShape, ...refusals },
      },
    },
    async (_request, reply) => ({ csrf_token: reply.generateCsrf() }),
  )
}

function logout(app: App, { identity, cookieOptions }: CookieRouteOptions): void {
  app.delete(
    '/api/session',
    {
      config: { endpoint: 'session' },
      onRequest: [identity.requireSession, rejectForgery],
      schema: {
        summary: 'End the session',
        tags: ['session'],
        response: { 204: Ended, 403: ErrorShape, ...refusals },
      },
    },
    async (request, reply) => {
      const { keyId } = request.session as SessionWithKey
      await identity.sessions.end(identity.cookieOf(request) as string, keyId)
      reply.clearCookie(identity.sessionCookie, cookieOptions)
      return reply.code(204).send()
    },
  )
}

function shown({ key, expiresAtMs, idleExpiresAtMs }: SessionWithKey) {
  const time = (ms: number) => new Date(ms).toISOString()
  const endsMs = Math.min(expiresAtMs, key.expiresAtMs)
  return { tenant: key.tenant.id, expires_at: time(endsMs), idle_expires_at: time(Math.min(endsMs, idleExpiresAtMs)) }
}
