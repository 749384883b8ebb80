import swaggerUi from '@fastify/swagger-ui'
import type { App } from '@knowalledge/service-kit'
import type { FleetOpenapi } from '../fleet-openapi.ts'

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
