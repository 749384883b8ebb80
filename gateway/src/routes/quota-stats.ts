import type { Priority, QuotaClient, QuotaUsage, WindowUsage } from '@knowalledge/quota-client'
import type { App } from '@knowalledge/service-kit'
import { Type } from 'typebox'

const Window = Type.Object({
  current: Type.Number(),
  limit: Type.Number(),
  remaining: Type.Number(),
  percentage: Type.Number({ description: '0 to 100' }),
  resets_in_seconds: Type.Integer(),
})
const Windows = Type.Object({ per_minute: Window, per_day: Window })

const Line = Type.Object({
  length: Type.Integer({ description: 'Calls in line' }),
  starts_in_seconds: Type.Union([Type.Integer(), Type.Null()], {
    description: 'When a call that came now would start; null: never, as the limits are too small',
  }),
})

const Answer = Type.Object(
  {
    requests: Windows,
    tokens: Windows,
    statistics: Type.Object({
      average_tokens_per_request: Type.Number({ description: 'Of today' }),
      instances: Type.Integer({ description: 'Service processes that share the quota' }),
      degraded: Type.Boolean({
        description: 'True while Redis cannot be used: the figures are the last ones that were seen',
      }),
    }),
    queue: Type.Object(
      { interactive: Line, batch: Line },
      { description: 'Calls that wait for their start: the explanations of presentations are batch calls' },
    ),
    hold: Type.Union([Type.Object({ cause: Type.String(), ends_in_seconds: Type.Integer() }), Type.Null()], {
      description: 'While the use of the last minute is uncertain no instance calls Gemini: why, and until when',
    }),
    pause: Type.Union([Type.Object({ limit_type: Type.String(), resumes_in_seconds: Type.Integer() }), Type.Null()], {
      description: 'After a 429 of Gemini: nobody asks until it ends',
    }),
  },
  { description: 'What the whole fleet has used' },
)

/** `GET /api/quota/stats`: what the whole fleet has used of the shared quota. */
export function quotaStats(app: App, { quota }: { quota: Pick<QuotaClient, 'usage'> }): void {
  app.get(
    '/api/quota/stats',
    {
      config: { endpoint: 'quota_stats' },
      schema: { summary: 'Use of the shared quota', tags: ['operations'], response: { 200: Answer } },
    },
    async (_request, reply) => {
      const { requests, tokens, pause, hold, degraded, instances, queue } = await quota.usage()
      const requestsToday = requests.perDay.current
      return reply.header('cache-control', 'no-store').send({
        requests: { per_minute: shown(requests.perMinute), per_day: shown(requests.perDay) },
        tokens: { per_minute: shown(tokens.perMinute), per_day: shown(tokens.perDay) },
        statistics: {
          average_tokens_per_request: requestsToday === 0 ? 0 : Math.round(tokens.perDay.current / requestsToday),
          instances,
          degraded,
        },
        queue: { interactive: lineOf(queue.interactive), batch: lineOf(queue.batch) },
        hold: hold && { cause: hold.cause, ends_in_seconds: Math.ceil(hold.endsInMs / 1000) },
        pause: pause && {
          limit_type: pause.limitType,
          resumes_in_seconds: Math.max(0, Math.ceil((pause.untilMs - Date.now()) / 1000)),
        },
      })
    },
  )
}

function lineOf({ length, startsInMs }: QuotaUsage['queue'][Priority]) {
  return { length, starts_in_seconds: Number.isFinite(startsInMs) ? Math.ceil(startsInMs / 1000) : null }
}

function shown({ current, limit, remaining, percentage, resetsInMs }: WindowUsage) {
  return { current, limit, remaining, percentage, resets_in_seconds: Math.ceil(resetsInMs / 1000) }
}
