import type { ReadyCheck } from '@knowalledge/service-kit'
import type { LoadBalancer } from './load-balancer.ts'

/** Asks every address's `/ready`, and ejects those that are starting, draining or down until they are ready. */
export class HealthChecker {
  readonly #balancers: readonly LoadBalancer[]
  readonly #intervalMs: number
  readonly #closed = new AbortController()
  /** Addresses whose check is under way. */
  readonly #checking = new Set<object>()

  constructor(balancers: readonly LoadBalancer[], intervalMs: number) {
    this.#balancers = balancers
    this.#intervalMs = intervalMs
  }

  /** Checks every address once, but for those that are slow to answer the check before. */
  async check(): Promise<void> {
    await Promise.all(
      this.#balancers.flatMap((balancer) =>
        balancer.addresses.map(async (address) => {
          if (this.#checking.has(address)) return
          this.#checking.add(address)
          const timeout = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(2 * this.#intervalMs)])
          balancer.report(address, await address.answersWith200('/ready', timeout))
          this.#checking.delete(address)
        }),
      ),
    )
  }

  close(): void {
    this.#closed.abort()
  }
}

type Balancers = Readonly<Record<string, LoadBalancer>>

/** One check a service: are there addresses that answer `path` with 200? Fine with one, best with all. */
export function serviceChecks(balancers: Balancers, path: '/health' | '/ready'): Record<string, ReadyCheck> {
  return Object.fromEntries(Object.entries(balancers).map(([name, balancer]) => [name, checkOf(balancer, path)]))
}

function checkOf(balancer: LoadBalancer, path: string): ReadyCheck {
  return {
    required: false,
    async check(signal) {
      const { addresses } = balancer
      const answers = await Promise.all(addresses.map((address) => address.answersWith200(path, signal)))
      const healthy = answers.filter(Boolean).length
      const status = healthy === addresses.length ? 'healthy' : healthy > 0 ? 'degraded' : 'unhealthy'
      return { status, ok: healthy > 0, instances: addresses.length, healthy_instances: healthy }
    },
  }
}

/** Required for `/ready`: with no service at all nothing can be answered. */
export function anyService(checks: Record<string, ReadyCheck>): ReadyCheck {
  return {
    required: true,
    async check(signal) {
      const results = await Promise.all(Object.values(checks).map(({ check }) => check(signal)))
      const usable = results.filter((result) => result.ok).length
      return { status: `${usable} of ${results.length} usable`, ok: usable > 0 }
    },
  }
}
