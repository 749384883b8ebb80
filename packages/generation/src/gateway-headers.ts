import { timingSafeEqual } from 'node:crypto'
import { isIPv6 } from 'node:net'
import type { Tenant } from '@knowalledge/quota-client'
import { type App, clientSignal, type Environment, HttpError, setting } from '@knowalledge/service-kit'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { BudgetClient } from './client-budget.ts'
import type { RunContext } from './types.ts'

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

/** The run context of a request. Throws HttpError `invalid_input` for a malformed `X-Tenant` or `X-Client`. */
export function contextOf(request: FastifyRequest, reply: FastifyReply): RunContext {
  const tenant = readTenant(request.headers['x-tenant'])
  if (tenant) request.outcome.tenant = tenant.id
  const client = readClient(request, tenant)
  return { signal: clientSignal(reply), log: request.log, outcome: request.outcome, tenant, client }
}

type LimitName = keyof Tenant['limits']

const pattern = /^(?<id>[a-z0-9][a-z0-9._-]{0,63})(?<limits>(?:;(?:rpm|rpd|tpm|tpd)=(?:0|[1-9]\d{0,12})){0,4})$/

/** The largest limit that the quota-client takes. */
const largestLimit = 1e12

/** The `X-Tenant` header, in the form of RFC 8941's items: `school-a;rpm=5;tpd=100000`. */
export function writeTenant({ id, limits }: Tenant): string {
  let text = id
  for (const [name, limit] of Object.entries(limits)) if (limit !== undefined) text += `;${name}=${limit}`
  return text
}

/** The reverse of `writeTenant`; undefined without a header. Throws HttpError `invalid_input` for anything else. */
export function readTenant(header: string | string[] | undefined): Tenant | undefined {
  if (header === undefined) return undefined
  const { id, limits = '' } = pattern.exec(String(header))?.groups ?? {}
  const parameters = limits.split(';').slice(1)
  const entries = parameters.map(
    (parameter) => [parameter.slice(0, 3), Number(parameter.slice(4))] as [LimitName, number],
  )
  const isOnceEach = new Set(entries.map(([name]) => name)).size === entries.length
  if (id === undefined || !isOnceEach || entries.some(([, limit]) => limit > largestLimit)) {
    throw new HttpError('invalid_input', 'X-Tenant must be of the form school-a;rpm=5;rpd=100;tpm=50000;tpd=1000000.')
  }
  return { id, limits: Object.fromEntries(entries) }
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
