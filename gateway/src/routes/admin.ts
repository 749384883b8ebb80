import { createHash, timingSafeEqual } from 'node:crypto'
import { errorShape } from '@knowalledge/generation/errors'
import { answerTags, type ResponseCache } from '@knowalledge/response-cache'
import { type App, HttpError, trimTexts } from '@knowalledge/service-kit'
import type { onRequestAsyncHookHandler } from 'fastify'
import { Type } from 'typebox'
import type { FailedLogins } from '../admission/failed-logins.ts'

const Body = Type.Object({
  operation: Type.Optional(
    Type.Enum(['create_subtopics', 'create_presentation', 'image2topic', 'generate_image'], {
      description: 'Drops this operation’s answers; with `topic`, only those about the topic',
    }),
  ),
  topic: Type.Optional(
    Type.String({ minLength: 1, maxLength: 500, description: 'Drops every answer about this topic' }),
  ),
})

const Answer = Type.Object(
  {
    invalidated: Type.Object({ operation: Type.Optional(Type.String()), topic: Type.Optional(Type.String()) }),
  },
  { description: 'What was dropped' },
)

export interface AdminOptions {
  requireToken: onRequestAsyncHookHandler
  cache: Pick<ResponseCache, 'invalidateTags'>
}

/** `POST /api/admin/cache/invalidate`: drops cached answers, in Redis and in every instance's memory. Needs `Authorization: Bearer <ADMIN_TOKEN>`. */
export function admin(app: App, { requireToken, cache }: AdminOptions): void {
  app.post(
    '/api/admin/cache/invalidate',
    {
      onRequest: requireToken,
      preValidation: trimTexts,
      schema: {
        summary: 'Drop cached answers',
        tags: ['operations'],
        body: Body,
        response: {
          200: Answer,
          400: errorShape(400, 'The input is not usable'),
          401: errorShape(401, 'The token is missing or wrong'),
          413: errorShape(413, 'The body is too large'),
          415: errorShape(415, 'The body is not JSON'),
          503: errorShape(503, 'Redis cannot be told right now'),
        },
      },
    },
    async (request) => {
      const tag = answerTags(request.body).at(-1)
      if (tag === undefined)
        throw new HttpError('invalid_input', 'operation or topic is missing: name one of them, or both.')
      await cache.invalidateTags([tag]).catch((cause) => {
        throw new HttpError(
          'service_unavailable',
          'Redis cannot be told right now. It is done by itself when Redis is back.',
          { cause },
        )
      })
      request.log.info({ audit: 'cache_invalidate', address: request.caller.address, ...request.body }, 'admin call')
      return { invalidated: request.body }
    },
  )
}

/** Refuses a request without `Authorization: Bearer <ADMIN_TOKEN>`. An operator chose the token, so it might be guessed. */
export function requireAdminToken(token: string, failedLogins: FailedLogins): onRequestAsyncHookHandler {
  return async (request, reply) => {
    const refusal = failedLogins.refusal(request, reply)
    if (refusal) throw refusal
    const { authorization } = request.headers
    if (isToken(authorization, token)) return
    throw (authorization && (await failedLogins.count(request, reply))) || wrongToken()
  }
}

/** Compares hashes, which have one length and take one time, whatever was sent. */
function isToken(authorization: string | undefined, token: string): boolean {
  const hashed = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hashed(authorization ?? ''), hashed(`Bearer ${token}`))
}

function wrongToken(): HttpError {
  return new HttpError('unauthorized', 'This needs `Authorization: Bearer <ADMIN_TOKEN>`.')
}
