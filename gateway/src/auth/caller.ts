import { createHmac, randomBytes } from 'node:crypto'
import type { Tenant } from '@knowalledge/quota-client'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { isSameDigest } from './credentials.ts'

/** The client of a request, as far as it is known. */
export interface Caller {
  kind: 'key' | 'session' | 'address'
  /** What is counted against this caller: a key's public id, a session's digest or an address. Never a secret. */
  id: string
  /** Public id of the key, or of the key that the session was made with. */
  keyId: string | undefined
  /** With AUTH=off: what its signed cookie names, for the budget of clients. */
  browser: string | undefined
  /** With the limits of its own inside the shared quota. */
  tenant: Tenant | undefined
  /** Where the request comes from, as TRUST_PROXY believes it. */
  address: string
}

/** Sets `request.caller` to the client's address. Where a key or a session is needed, `auth` replaces it. */
export const clientAddress = fp(
  async (app) => {
    app.decorateRequest('caller')
    app.addHook('onRequest', (request, _reply, done) => {
      const address = addressOf(request)
      request.caller = {
        kind: 'address',
        id: address,
        keyId: undefined,
        browser: undefined,
        tenant: undefined,
        address,
      }
      done()
    })
  },
  { name: 'client-address' },
)

/** Computed from the headers at each call. A client that has left already has none any more, whatever Fastify's type says. */
function addressOf({ ip }: { ip: string | undefined }): string {
  return ip ?? 'gone'
}

const browserCookieMaxAgeSeconds = 86_400

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
  const attributes = `Max-Age=${browserCookieMaxAgeSeconds}; Path=/; HttpOnly; SameSite=Lax${COOKIE_SECURE ? '; Secure' : ''}`
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

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller
  }
}
