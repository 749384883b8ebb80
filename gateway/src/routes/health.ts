import { type App, type ReadyCheck, runChecks } from '@knowalledge/service-kit'
import { Type } from 'typebox'

const Answer = Type.Object(
  {
    status: Type.Enum(['healthy', 'degraded', 'unhealthy']),
    gateway: Type.Object({ status: Type.Literal('healthy'), uptime_seconds: Type.Integer() }),
    services: Type.Record(
      Type.String(),
      Type.Object({
        status: Type.Enum(['healthy', 'degraded', 'unhealthy', 'unreachable']),
        instances: Type.Optional(Type.Integer()),
        healthy_instances: Type.Optional(Type.Integer()),
        response_time: Type.String({ description: 'Seconds, such as 0.002s' }),
      }),
    ),
  },
  { description: 'What lives; 503 when no service does' },
)

/** `GET /api/health`: the gateway's and every service's state and response time. 503 when no service lives. */
export function health(
  app: App,
  { checks, timeoutMs }: { checks: Record<string, ReadyCheck>; timeoutMs: number },
): void {
  app.get(
    '/api/health',
    {
      config: { endpoint: 'health', quiet: true },
      schema: {
        summary: 'State of the gateway and of every service',
        tags: ['operations'],
        response: { 200: Answer, 503: Answer },
      },
    },
    async (_request, reply) => {
      const services = await runChecks(checks, timeoutMs)
      const states = Object.values(services).map((service) => service.status)
      const status = states.every((state) => state === 'healthy')
        ? 'healthy'
        : Object.values(services).some((service) => service.ok)
          ? 'degraded'
          : 'unhealthy'
      return reply
        .code(status === 'unhealthy' ? 503 : 200)
        .header('cache-control', 'no-store')
        .send({
          status,
          gateway: { status: 'healthy', uptime_seconds: Math.floor(process.uptime()) },
          services: services as Record<string, never>,
        })
    },
  )
}
