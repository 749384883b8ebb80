import { mapPools } from '@knowalledge/generation/pools'
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

const Queue = Type.Object(
  { interactive: Line, batch: Line },
  { description: 'Calls that wait for their start: the explanations of presentations are batch calls' },
)
const Hold = Type.Union([Type.Object({ cause: Type.String(), ends_in_seconds: Type.Integer() }), Type.Null()], {
  description: 'While the use of the last minute is uncertain no instance calls Gemini: why, and until when',
})
const Pause = Type.Union(
  [Type.Object({ limit_type: Type.String(), resumes_in_seconds: Type.Integer() }), Type.Null()],
  {
    description: 'After a 429 of Gemini: nobody asks until it ends',
  },
)

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
    queue: Queue,
    hold: Hold,
    pause: Pause,
    models: Type.Array(
      Type.Object({
        model: Type.String(),
        pool: Type.String({ description: 'Models with the same pool share their quota' }),
        requests: Windows,
        tokens: Windows,
        queue: Queue,
        hold: Hold,
        pause: Pause,
      }),
      { description: 'Each model and its quota; the figures outside are those of the best text model' },
    ),
  },
  { description: 'What the whole fleet has used' },
)

/** A pool of quota and the models that share it; only read here. */
export interface StatsPool {
  name: string
  models: readonly string[]
  quota: Pick<QuotaClient, 'usage'>
}

/** `GET /api/quota/stats`: what the whole fleet has used of the shared quota. */
export function quotaStats(app: App, { pools }: { pools: readonly [StatsPool, ...StatsPool[]] }): void {
  app.get(
    '/api/quota/stats',
    {
      config: { endpoint: 'quota_stats' },
      schema: { summary: 'Use of the shared quota', tags: ['operations'], response: { 200: Answer } },
    },
    async (_request, reply) => {
      const usages = await Promise.all(mapPools(pools, ({ quota }) => quota.usage()))
      const [usage] = usages
      const { requests, tokens, degraded, instances } = usage
      const requestsToday = requests.perDay.current
      return reply.header('cache-control', 'no-store').send({
        ...figuresOf(usage),
        statistics: {
          average_tokens_per_request: requestsToday === 0 ? 0 : Math.round(tokens.perDay.current / requestsToday),
          instances,
          degraded,
        },
        models: pools.flatMap(({ name, models }, at) => {
          const shown = figuresOf(usages[at] as QuotaUsage)
          return models.map((model) => ({ model, pool: name, ...shown }))
        }),
      })
    },
  )
}

function figuresOf({ requests, tokens, queue, hold, pause }: QuotaUsage) {
  return {
    requests: { per_minute: shown(requests.perMinute), per_day: shown(requests.perDay) },
    tokens: { per_minute: shown(tokens.perMinute), per_day: shown(tokens.perDay) },
    queue: { interactive: lineOf(queue.interactive), batch: lineOf(queue.batch) },
    hold: hold && { cause: hold.cause, ends_in_seconds: Math.ceil(hold.endsInMs / 1000) },
    pause: pause && {
      limit_type: pause.limitType,
      resumes_in_seconds: Math.max(0, Math.ceil((pause.untilMs - Date.now()) / 1000)),
    },
  }
}

function lineOf({ length, startsInMs }: QuotaUsage['queue'][Priority]) {
  return { length, starts_in_seconds: Number.isFinite(startsInMs) ? Math.ceil(startsInMs / 1000) : null }
}

function shown({ current, limit, remaining, percentage, resetsInMs }: WindowUsage) {
  return { current, limit, remaining, percentage, resets_in_seconds: Math.ceil(resetsInMs / 1000) }
}
