import { lookup as dnsLookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { FastifyBaseLogger } from 'fastify'
import type { LoadBalancer } from './load-balancer.ts'

/** All addresses of a host. Rejects, or finds none, when the host is not known (now). */
export type Lookup = (hostname: string) => Promise<readonly string[]>

/**
 * As the operating system finds them: hosts file, DNS with its search domains. IPv4, or IPv6 where there is no IPv4: one
 * instance with both must not count as two.
 */
export const systemLookup: Lookup = async (hostname) => {
  const found = await dnsLookup(hostname, { all: true })
  const family = found.some((address) => address.family === 4) ? 4 : 6
  return found.filter((address) => address.family === family).map(({ address }) => address)
}

export interface DiscoveryOptions {
  balancers: readonly LoadBalancer[]
  lookup: Lookup
  log: Pick<FastifyBaseLogger, 'info' | 'warn'>
}

interface Name {
  balancer: LoadBalancer
  url: string
  hostname: string
}

/** Keeps each service's addresses those that the names in its URLs resolve to. */
export class Discovery {
  readonly #names: readonly Name[]
  readonly #lookup: Lookup
  readonly #log: DiscoveryOptions['log']
  /** Names whose last look-up failed. */
  readonly #failing = new Set<Name>()
  #underWay: Promise<unknown> | undefined

  constructor({ balancers, lookup, log }: DiscoveryOptions) {
    this.#names = balancers.flatMap((balancer) =>
      [...new Set(balancer.urls)].map((url) => ({ balancer, url, hostname: new URL(url).hostname })).filter(isName),
    )
    this.#lookup = lookup
    this.#log = log
  }

  /** Looks every name up once. One at a time: a slow DNS server is not asked again meanwhile. */
  refresh(): Promise<unknown> {
    this.#underWay ??= Promise.all(this.#names.map((name) => this.#refresh(name))).finally(() => {
      this.#underWay = undefined
    })
    return this.#underWay
  }

  async #refresh(name: Name): Promise<void> {
    const { balancer, url, hostname } = name
    const fields = { service: balancer.name, hostname }
    try {
      const addresses = [...new Set(await this.#lookup(hostname))].sort()
      if (addresses.length === 0) throw new Error(`${hostname} has no address`)
      if (this.#failing.delete(name)) this.#log.info(fields, 'look-up of a service works again')
      if (balancer.setAddresses(url, addresses))
        this.#log.info({ ...fields, addresses }, 'addresses of a service changed')
    } catch (error) {
      if (!this.#failing.has(name))
        this.#log.warn({ ...fields, err: error }, 'look-up of a service failed, keeping its last addresses')
      this.#failing.add(name)
    }
  }
}

/** An IP address is what it is, and so is `localhost`, of which only one of two addresses may be listened on. */
function isName({ hostname }: Name): boolean {
  return hostname !== 'localhost' && isIP(hostname.replace(/^\[|\]$/g, '')) === 0
}
