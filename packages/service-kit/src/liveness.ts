import fp from 'fastify-plugin'
import { Type } from 'typebox'
import type { App } from './app.ts'

/** `GET /health`: the process lives and its event loop turns. Asks nobody else, so that a dead Redis restarts nothing. */
export const liveness = fp<{ service: string }>(
  async (app, { service }) => {
    ;(app as unknown as App).get(
      '/health',
      {
        config: { endpoint: 'health', quiet: true },
        schema: {
          summary: 'Does this process live?',
          tags: ['operations'],
          response: {
            200: Type.Object(
              {
                status: Type.Literal('healthy'),
                service: Type.String(),
                uptime_seconds: Type.Integer(),
              },
              { description: 'It does' },
            ),
          },
        },
      },
      async () => ({ status: 'healthy' as const, service, uptime_seconds: Math.floor(process.uptime()) }),
    )
  },
  { name: 'liveness' },
)
