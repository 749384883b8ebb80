import { isIP } from 'node:net'

/** Whose X-Forwarded-For is believed, as Fastify takes it: nobody's, these addresses', or whose a function says. */
export type TrustProxy = false | string[] | ((address: string, hop: number) => boolean)

const ranges = ['loopback', 'linklocal', 'uniquelocal']

/** `false`, a count of proxies, or addresses, CIDRs and named ranges separated by commas. Undefined for anything else. */
export function readTrustProxy(text: string): TrustProxy | undefined {
  if (text === 'false') return false
  // Fastify takes no count, as it would believe whoever connects: for where only the proxy can, such as in a cluster.
  if (/^\d{1,2}$/.test(text)) return (_address, hop) => hop < Number(text)
  const trusted = text.split(',').map((entry) => entry.trim())
  return trusted.every((entry) => ranges.includes(entry) || isAddresses(entry)) ? trusted : undefined
}

/** One address, or those of a CIDR; all there are (`/0`) are not a proxy's. */
function isAddresses(entry: string): boolean {
  const [address = '', bits, ...rest] = entry.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  return bits === undefined || (/^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
}
