import fp from 'fastify-plugin'
import type { Config } from '../config.ts'
import { Discovery, type Lookup, systemLookup } from './discovery.ts'
import { HealthChecker } from './health-checks.ts'
import { LoadBalancer, type ServiceName } from './load-balancer.ts'

export type LoadBalancers = Readonly<Record<ServiceName, LoadBalancer>>

type UpstreamConfig = Pick<
  Config,
  | 'TEXT_GENERATION_URL'
  | 'VISION_URL'
  | 'IMAGE_GENERATION_URL'
  | 'UPSTREAM_TIMEOUT_MS'
  | 'UPSTREAM_CHECK_MS'
  | 'UPSTREAM_LOOKUP_MS'
>

export function createLoadBalancers(config: UpstreamConfig): LoadBalancers {
  const balancer = (name: ServiceName, commaSeparated: string) =>
    new LoadBalancer({
      name,
      urls: commaSeparated.split(',').map((url) => url.trim().replace(/\/$/, '')),
      timeoutMs: config.UPSTREAM_TIMEOUT_MS,
      isChecked: config.UPSTREAM_CHECK_MS > 0,
    })
  return {
    'text-generation': balancer('text-generation', config.TEXT_GENERATION_URL),
    vision: balancer('vision', config.VISION_URL),
    'image-generation': balancer('image-generation', config.IMAGE_GENERATION_URL),
  }
}

export interface UpstreamsOptions {
  config: UpstreamConfig
  balancers: LoadBalancers
  lookup?: Lookup | undefined
}

/** Looks up and checks the services' addresses while the app is open. It is ready when each address was checked once. */
export const upstreams = fp<UpstreamsOptions>(
  async (app, { config, balancers, lookup = systemLookup }) => {
    const { UPSTREAM_CHECK_MS: checkMs, UPSTREAM_LOOKUP_MS: lookupMs } = config
    const all = Object.values(balancers)
    const discovery = new Discovery({ balancers: all, lookup, log: app.log })
    const health = new HealthChecker(all, checkMs)
    const timers: NodeJS.Timeout[] = []
    app.addHook('onReady', async () => {
      if (lookupMs > 0) {
        timers.push(setInterval(() => void discovery.refresh(), lookupMs).unref())
        void discovery.refresh() // not awaited: until it is done undici looks up the names itself
      }
      if (checkMs > 0) {
        await health.check()
        timers.push(setInterval(() => void health.check(), checkMs).unref())
      }
    })
    app.addHook('onClose', async () => {
      for (const timer of timers) clearInterval(timer)
      health.close()
      await Promise.all(all.map((balancer) => balancer.destroy()))
    })
  },
  { name: 'upstreams' },
)
