import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger'
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
      transformObject: withRequestIds,
    })
    if (!ownRoute) return
    app.get('/openapi.json', { config: { endpoint: 'docs', quiet: true }, schema: { hide: true } }, async () =>
      app.swagger(),
    )
  },
  { name: 'openapi' },
)

const requestId = { description: 'As it was sent, or made', schema: { type: 'string' } }

/** Every answer has the header, so it is documented in one place and not at every route. */
const withRequestIds: NonNullable<FastifyDynamicSwaggerOptions['transformObject']> = (documents) => {
  const document = 'openapiObject' in documents ? documents.openapiObject : documents.swaggerObject
  for (const operations of Object.values(document.paths ?? {})) {
    for (const { responses } of Object.values(operations as Record<string, Operation>)) {
      for (const response of Object.values(responses)) {
        response.headers = { 'X-Request-Id': requestId, ...response.headers }
      }
    }
  }
  return document
}

interface Operation {
  responses: Record<string, { headers?: object }>
}
