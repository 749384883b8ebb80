import type { FleetOpenapi, OpenapiDocument } from '../routes/docs.ts'

const byKey = [{ bearer: [] }, { apiKey: [] }]
const bySession = [{ session: [] }]

const securitySchemes = (sessionCookie: string) => ({
  bearer: { type: 'http', scheme: 'bearer', description: 'An API key' },
  apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key', description: 'An API key' },
  session: {
    type: 'apiKey',
    in: 'cookie',
    name: sessionCookie,
    description: 'From `POST /api/session`. What changes something also needs `X-CSRF-Token`',
  },
})

interface Operation {
  tags?: string[]
  responses?: Record<string, unknown>
}

/** The fleet's document, in which each route that needs a key or a session says so. (The services do not know of it.) */
export function withSecurity({ refresh, document }: FleetOpenapi, sessionCookie: string): FleetOpenapi {
  return {
    refresh,
    document() {
      const described = document()
      const paths = Object.entries(described.paths ?? {}).map(([path, item]) => [path, securedPath(item)])
      const components = {
        ...(described.components as object | undefined),
        securitySchemes: securitySchemes(sessionCookie),
      }
      return { ...described, components, paths: Object.fromEntries(paths) } satisfies OpenapiDocument
    },
  }
}

function securedPath(item: unknown): unknown {
  const operations = Object.entries(item as Record<string, Operation>)
  return Object.fromEntries(operations.map(([method, operation]) => [method, secured(method, operation)]))
}

function secured(method: string, operation: Operation): Operation & { security?: object[] } {
  if (operation.tags?.includes('session')) return { ...operation, security: method === 'post' ? byKey : bySession }
  if (!operation.tags?.includes('learning')) return operation
  const refusals = {
    401: refusal('No valid key or session'),
    ...(method === 'post' ? { 403: refusal('A session without a valid X-CSRF-Token') } : {}),
    503: refusal('The key or session cannot be checked, or a service is down'),
  }
  return { ...operation, security: [...byKey, ...bySession], responses: { ...refusals, ...operation.responses } }
}

function refusal(description: string) {
  const schema = {
    type: 'object',
    required: ['error', 'message'],
    properties: { error: { type: 'string' }, message: { type: 'string' } },
  }
  return { description, content: { 'application/json': { schema } } }
}
