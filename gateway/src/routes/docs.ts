import swaggerUi from '@fastify/swagger-ui'
import type { App } from '@knowalledge/service-kit'
import type { LoadBalancer } from '../proxy/load-balancer.ts'
import type { LoadBalancers } from '../proxy/upstreams.ts'

/** The part of an OpenAPI document that is put together here. */
export interface OpenapiDocument {
  paths?: Record<string, unknown>
  [member: string]: unknown
}

/**
 * The services' documents and the gateway's own as one: what a client can reach through the gateway. A service is asked
 * again when one of its instances has come or gone; one that is down keeps the paths it was last seen with.
 */
export function createFleetOpenapi(balancers: LoadBalancers, own: () => OpenapiDocument) {
  const lastSeen = new Map<string, { paths: Record<string, unknown>; changes: number }>()
  return {
    async refresh(): Promise<void> {
      await Promise.all(
        Object.values(balancers).map(async (balancer) => {
          const { name, changes } = balancer
          if (changes > 0 && lastSeen.get(name)?.changes === changes) return
          const paths = await learningPaths(balancer)
          if (paths) lastSeen.set(name, { paths, changes })
        }),
      )
    },
    document(): OpenapiDocument {
      const document = own()
      return {
        ...document,
        paths: Object.assign({}, ...[...lastSeen.values()].map(({ paths }) => paths), document.paths),
      }
    },
  }
}

export type FleetOpenapi = ReturnType<typeof createFleetOpenapi>

/** From the first instance that answers; a service's own probes are not for clients. */
async function learningPaths({ addresses }: LoadBalancer): Promise<Record<string, unknown> | undefined> {
  for (const address of addresses) {
    try {
      const { statusCode, body } = await address.get('/openapi.json', AbortSignal.timeout(1_000))
      if (statusCode !== 200) {
        await body.dump()
        continue
      }
      const { paths = {} } = (await body.json()) as OpenapiDocument
      return Object.fromEntries(Object.entries(paths).filter(([path]) => path.startsWith('/api/')))
    } catch {
      // this instance is down or talks nonsense: the next one, or what was last seen, will do
    }
  }
  return undefined
}

/** `GET /openapi.json` and, for reading, `GET /docs`: both made from the schemas that validate, of every service. */
export function docs(app: App, { openapi }: { openapi: FleetOpenapi }): void {
  app.get('/openapi.json', { config: { endpoint: 'docs', quiet: true }, schema: { hide: true } }, async () => {
    await openapi.refresh()
    return openapi.document()
  })
  app.register(swaggerUi, {
    routePrefix: '/docs',
    uiHooks: { onRequest: async () => openapi.refresh() },
    transformSpecification: () => openapi.document(),
    transformSpecificationClone: false,
    // Swagger UI styles its elements inline and draws small pictures from data: URLs.
    staticCSP: {
      'default-src': "'self'",
      'style-src': ["'self'", "'unsafe-inline'"],
      'img-src': ["'self'", 'data:'],
      'object-src': "'none'",
      'frame-ancestors': "'none'",
      'base-uri': "'self'",
    },
    uiConfig: { docExpansion: 'list', tryItOutEnabled: true },
  })
}
