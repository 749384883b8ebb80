import swagger from '@fastify/swagger'
import fp from 'fastify-plugin'

export interface OpenapiOptions {
  title: string
  description: string
  /** False when the app serves a document of its own making. Default true. */
  ownRoute?: boolean
}

/** `GET /openapi.json`: OpenAPI 3.1 from the very schemas that validate and serialise. Register before the routes. */
export const openapi = fp<OpenapiOptions>(
  async (app, { title, description, ownRoute = true }) => {
    await app.register(swagger, {
      openapi: { openapi: '3.1.0', info: { title, description, version: '1.0.0' } },
      hideUntagged: true,
    })
    if (!ownRoute) return
    app.get('/openapi.json', { config: { endpoint: 'docs', quiet: true }, schema: { hide: true } }, async () =>
      app.swagger(),
    )
  },
  { name: 'openapi' },
)
