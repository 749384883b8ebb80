import type { Tenant } from '@knowalledge/quota-client'
import type { App } from '@knowalledge/service-kit'

/** Who asks, as far as it is known. */
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

/** Whoever proves nothing is known by address. Where a key or a session is asked for, identity replaces this. */
export function callersByAddress(app: App): void {
  app.decorateRequest('caller')
  app.addHook('onRequest', (request, _reply, done) => {
    const address = addressOf(request)
    request.caller = { kind: 'address', id: address, keyId: undefined, browser: undefined, tenant: undefined, address }
    done()
  })
}

/** The client's, worked out from its headers at each call. A client that has left already has none any more, whatever Fastify's type says. */
function addressOf({ ip }: { ip: string | undefined }): string {
  return ip ?? 'gone'
}

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller
  }
}
