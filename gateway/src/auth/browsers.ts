import { createHmac, randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { isSameDigest } from './credentials.ts'

const maxAgeSeconds = 86_400

export interface BrowserOptions {
  SESSION_SECRET?: string
  COOKIE_SECURE: boolean
}

/**
 * Tells browsers apart where nobody has to show a key, so that a class behind one address is not one client: an id that is
 * signed and means nothing else. It is set on answers to a POST of a page, which no cache keeps.
 */
export function identifyBrowsers(scope: FastifyInstance, { SESSION_SECRET, COOKIE_SECURE }: BrowserOptions): void {
  const secret = SESSION_SECRET ?? randomBytes(32)
  const signatureOf = (id: string) => createHmac('sha256', secret).update(`browser:${id}`).digest('base64url')
  // A browser takes a `__Host-` cookie from this very host and over HTTPS only, so that no neighbour can plant one.
  const name = COOKIE_SECURE ? '__Host-kae_browser' : 'kae_browser'
  const cookiePattern = new RegExp(`(?:^|; ?)${name}=([\\w-]{22})\\.([\\w-]{43})(?:;|$)`)
  const attributes = `Max-Age=${maxAgeSeconds}; Path=/; HttpOnly; SameSite=Lax${COOKIE_SECURE ? '; Secure' : ''}`
  scope.addHook('onRequest', (request, reply, done) => {
    const { cookie = '', origin } = request.headers
    const [, id, signature = ''] = cookiePattern.exec(cookie) ?? []
    if (id !== undefined && isSameDigest(signature, signatureOf(id))) request.caller.browser = id
    else if (request.method === 'POST' && origin !== undefined) {
      const newId = randomBytes(16).toString('base64url')
      reply.header('set-cookie', `${name}=${newId}.${signatureOf(newId)}; ${attributes}`)
    }
    done()
  })
}
