import type { Tenant } from '@knowalledge/quota-client'
import { HttpError } from '@knowalledge/service-kit'

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
