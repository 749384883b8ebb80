import { timingSafeEqual } from 'node:crypto'
import { isIPv6 } from 'node:net'
import type { Tenant } from '@knowalledge/quota-client'
import { type App, type Environment, HttpError, setting } from '@knowalledge/service-kit'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { BudgetClient } from './client-budget.ts'

/** Settings that the gateway and the services share. */
export const gatewaySettings = {
  AUTH: setting.oneOf(
    ['off', 'required'],
    'required: the learning routes need an API key or a session. off: keys and sessions are not looked at',
    { default: 'off' },
  ),
  GATEWAY_SECRET: Type.Optional(
    Type.String({
      description:
        'Proves to the services that a request comes from the gateway; needed with AUTH=required, the same at all of them',
      minLength: 32,
      expectation: 'at least 32 characters',
    }),
  ),
}

/** A fault of settings that are valid each by itself: with keys a service must not believe whoever reaches it. */
export function gatewaySecretFaults({ AUTH }: { AUTH?: string }, env: Environment): string[] {
  return AUTH !== 'required' || env.GATEWAY_SECRET?.trim()
    ? []
    : [
        'GATEWAY_SECRET is required with AUTH=required: expected at least 32 characters, the same at gateway and services',
      ]
}

/** The header in which the gateway sends GATEWAY_SECRET. */
export const gatewaySecretHeader = 'x-gateway-secret'

/** Refuses every request below `/api/` that does not bring the secret: what it says of its client would be believed. */
export function requireGateway(app: App, secret: string): void {
  const expected = Buffer.from(secret)
  const error = new HttpError(
    'unauthorized',
    'This service answers its gateway only. If this came through the gateway, GATEWAY_SECRET differs there.',
  )
  app.addHook('onRequest', ({ url, headers }, _reply, done) => {
    if (!url.startsWith('/api/')) return done()
    const given = Buffer.from(String(headers[gatewaySecretHeader] ?? ''))
    done(given.length === expected.length && timingSafeEqual(given, expected) ? undefined : error)
  })
}

/** The client of a request as the gateway names it: its tenant, else its browser (`X-Client`), else its address. */
export function readClient({ headers, ip }: FastifyRequest, tenant: Tenant | undefined): BudgetClient {
  if (tenant) return { id: `tenant ${tenant.id}`, hasOwnLimits: Object.keys(tenant.limits).length > 0 }
  const browser = headers['x-client']
  if (browser !== undefined && !/^[\w-]{1,64}$/.test(String(browser)))
    throw new HttpError('invalid_input', 'X-Client must be 1 to 64 letters, digits, dashes or underscores.')
  const address = networkOf(String(headers['x-forwarded-for'] ?? ip))
  return { id: browser === undefined ? `address ${address}` : `browser ${browser}`, address }
}

/** A client with IPv6 has a whole network of 64 bits: it counts as one address. */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address.replace('::ffff:', '')
  const [head = '', tail] = address.split('::')
  const [first, last] = [head, tail].map((groups) => (groups ? groups.split(':') : [])) as [string[], string[]]
  const zeros = Array<string>(8 - first.length - last.length).fill('0')
  return [...first, ...zeros, ...last].slice(0, 4).join(':')
}
