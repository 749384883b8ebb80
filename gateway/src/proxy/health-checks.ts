import type { ReadyCheck } from '@knowalledge/service-kit'
import { answersWith200, type Upstream, type Upstreams } from './upstreams.ts'

/** One check a service: are there instances that answer `path` with 200? Fine with one, best with all. */
export function serviceChecks({ all }: Upstreams, path: '/health' | '/ready'): Record<string, ReadyCheck> {
  return Object.fromEntries(Object.values(all).map((upstream) => [upstream.name, checkOf(upstream, path)]))
}

function checkOf({ urls }: Upstream, path: string): ReadyCheck {
  return {
    required: false,
    async check(signal) {
      const answers = await Promise.all(urls.map((url) => answersWith200(url + path, signal)))
      const healthy = answers.filter(Boolean).length
      const status = healthy === urls.length ? 'healthy' : healthy > 0 ? 'degraded' : 'unhealthy'
      return { status, ok: healthy > 0, instances: urls.length, healthy_instances: healthy }
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
