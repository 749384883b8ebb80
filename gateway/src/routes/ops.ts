import type { ServiceSnapshot } from '@knowalledge/generation/activity'
import { gatewaySecretHeader } from '@knowalledge/generation/gateway-headers'
import { type App, HttpError, type ProcessSnapshot } from '@knowalledge/service-kit'
import type { onRequestAsyncHookHandler } from 'fastify'
import { Feed } from '../ops/feed.ts'
import { type Seen, stateOf, withoutClients } from '../ops/state.ts'
import type { Address } from '../proxy/load-balancer.ts'
import type { LoadBalancers } from '../proxy/upstreams.ts'
import type { StatsPool } from './quota-stats.ts'

export interface OpsOptions {
  config: { AUTH: 'off' | 'required'; GATEWAY_SECRET?: string }
  balancers: LoadBalancers
  pools: readonly StatsPool[]
  /** This gateway's own. */
  snapshot: () => Promise<ProcessSnapshot>
  /** Refuses a request with a wrong token; absent without ADMIN_TOKEN. */
  requireToken: onRequestAsyncHookHandler | undefined
}

const everyMs = 2_000
const snapshotTimeoutMs = 1_000
const dropAfterMs = 30_000
const maxWatchers = 50

/**
 * `GET /ops/events`: the state of the fleet as server-sent events, for the page at `/ops`. Nobody is asked for it while nobody
 * watches. Clients are shown with AUTH=off, or to whoever sends ADMIN_TOKEN.
 */
export function ops(app: App, { config, balancers, pools, snapshot, requireToken }: OpsOptions): void {
  const read = async () => {
    const seen = Object.values(balancers).flatMap(({ name, addresses }) =>
      addresses.map(async (address): Promise<Seen> => {
        return { service: name, url: urlOf(address), snapshot: await snapshotAt(address, config.GATEWAY_SECRET) }
      }),
    )
    const [usage, own, ...others] = await Promise.all([
      Promise.all(pools.map(async ({ name, quota }) => [name, await quota.usage()] as const)),
      snapshot(),
      ...seen,
    ])
    return stateOf([{ service: 'gateway', url: 'this one', snapshot: own }, ...others], Object.fromEntries(usage))
  }
  const feed = new Feed({
    read,
    everyMs,
    dropAfterMs,
    onError: (err) => app.log.error({ err }, 'the state of the fleet cannot be read'),
  })
  app.addHook('preClose', async () => feed.close())
  app.get(
    '/ops/events',
    {
      config: { endpoint: 'ops', quiet: true },
      schema: { hide: true },
      onRequest: async (request, reply) => {
        if (request.headers.authorization !== undefined) await requireToken?.call(app, request, reply)
      },
    },
    async (request, reply) => {
      if (feed.watchers >= maxWatchers)
        throw new HttpError('overloaded', `${maxWatchers} pages watch already. Close one, or try again later.`)
      const hasToken = requireToken !== undefined && request.headers.authorization !== undefined
      const showsClients = config.AUTH === 'off' || hasToken
      const events = feed.watch((state) =>
        JSON.stringify(showsClients ? state : withoutClients(state, requireToken !== undefined)),
      )
      return reply
        .headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
        .send(events)
    },
  )
}

/** Undefined of an instance that is down, late, or of a version without this route: the page shows that it does not answer. */
async function snapshotAt(address: Address, secret: string | undefined): Promise<ServiceSnapshot | undefined> {
  const headers = secret === undefined ? {} : { [gatewaySecretHeader]: secret }
  try {
    const timeout = AbortSignal.timeout(snapshotTimeoutMs)
    const { statusCode, body } = await address.get('/api/ops/snapshot', timeout, headers)
    if (statusCode === 200) return snapshotOf(await body.json())
    await body.dump()
    return undefined
  } catch {
    return undefined
  }
}

/** By its own address, where the name of the service has several. */
function urlOf({ url, ip }: Address): string {
  if (ip === undefined) return url
  const { protocol, port } = new URL(url)
  return `${protocol}//${ip.includes(':') ? `[${ip}]` : ip}${port && `:${port}`}`
}

function snapshotOf(body: unknown): ServiceSnapshot | undefined {
  const isSnapshot = typeof body === 'object' && body !== null && 'counts' in body && 'clients' in body
  return isSnapshot ? (body as ServiceSnapshot) : undefined
}
