import type { FastifyInstance } from 'fastify'

const notForPrivate = /^(?:public|private|s-maxage=.*|stale-if-error=.*|proxy-revalidate)$/i
const varyOn = ['Authorization', 'Cookie', 'X-API-Key']

/**
 * What needs a key or a session must not lie in a cache that others share, so `public` becomes `private` here: the
 * services do not know the client. A browser may keep its own copy.
 */
export function keepAnswersPrivate(scope: FastifyInstance): void {
  scope.addHook('onSend', (_request, reply, _payload, done) => {
    const cacheControl = reply.getHeader('cache-control')
    if (typeof cacheControl === 'string' && /\bpublic\b/i.test(cacheControl)) {
      reply.header('cache-control', privately(cacheControl))
      const varied = reply.getHeader('vary')
      reply.header('vary', [...(varied === undefined ? [] : [varied].flat()), ...varyOn].join(', '))
    }
    done()
  })
}

function privately(cacheControl: string): string {
  const kept = cacheControl.split(',').map((directive) => directive.trim())
  return ['private', ...kept.filter((directive) => !notForPrivate.test(directive))].join(', ')
}
