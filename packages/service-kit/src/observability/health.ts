import fp from 'fastify-plugin'
import { Type } from 'typebox'

/** `GET /health`: the process runs and its event loop turns. Depends on nothing else, so that a dead Redis restarts nothing. */
export const liveness = fp<{ service: string }>(
  async (app, { service }) => {
    app.get(
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

/** State of one dependency: `healthy`, or another word such as `unreachable`, `disabled`, `not_configured`. */
export interface CheckResult {
  status: string
  ok: boolean
  [detail: string]: unknown
}

export interface ReadyCheck {
  /** Without it nothing can be answered: the process is `not_ready`. Otherwise only `degraded`. */
  required: boolean
  check(signal: AbortSignal): Promise<CheckResult>
}

export interface ReadinessOptions {
  service: string
  checks: Record<string, ReadyCheck>
  /** Goes before `/ready`, such as `/api`. Default none. */
  prefix?: string
  /** Timeout of one check in milliseconds. Default 1,000. */
  timeoutMs?: number
  /** How long the results of the checks are shown again, in milliseconds. Default 0: every request checks. */
  reuseMs?: number
}

const CheckShape = Type.Object(
  { status: Type.String(), response_time: Type.String({ description: 'Seconds, such as 0.002s' }) },
  { additionalProperties: true },
)

const ReadyShape = Type.Object(
  {
    status: Type.Enum(['ready', 'degraded', 'not_ready']),
    service: Type.String(),
    checks: Type.Record(Type.String(), CheckShape),
  },
  { description: 'What it depends on; 503 when it cannot answer' },
)

/** `GET /ready`: can this process answer now? 200 for `ready` and `degraded`, 503 for `not_ready`. */
export const readiness = fp<ReadinessOptions>(
  async (app, { service, checks, prefix = '', timeoutMs = 1_000, reuseMs = 0 }) => {
    const run = reused(() => runChecks(checks, timeoutMs), reuseMs)
    app.get(
      `${prefix}/ready`,
      {
        config: { endpoint: 'ready', quiet: true },
        schema: {
          summary: 'Is it ready to answer?',
          tags: ['operations'],
          response: { 200: ReadyShape, 503: ReadyShape },
        },
      },
      async (_request, reply) => {
        const results = { ...(await run()) }
        if (app.lifecycle.draining) results.process = { status: 'draining', ok: false, response_time: '0.000s' }
        const failed = Object.entries(results).filter(([, result]) => !result.ok)
        const status = failed.some(([name]) => name === 'process' || checks[name]?.required)
          ? 'not_ready'
          : failed.length > 0
            ? 'degraded'
            : 'ready'
        const shown = Object.fromEntries(Object.entries(results).map(([name, { ok: _, ...result }]) => [name, result]))
        return reply
          .code(status === 'not_ready' ? 503 : 200)
          .header('cache-control', 'no-store')
          .send({ status, service, checks: shown })
      },
    )
  },
  { name: 'readiness', dependencies: ['closing'] },
)

function reused<T>(run: () => Promise<T>, forMs: number): () => Promise<T> {
  let last: { result: Promise<T>; atMs: number } | undefined
  return () => {
    const nowMs = performance.now()
    if (last === undefined || nowMs - last.atMs >= forMs) last = { result: run(), atMs: nowMs }
    return last.result
  }
}

type TimedResult = CheckResult & { response_time: string }

/** Runs all checks at once, each with its own timeout; one that throws or is late is `unreachable`. */
export async function runChecks(
  checks: Record<string, ReadyCheck>,
  timeoutMs: number,
): Promise<Record<string, TimedResult>> {
  const timed = Object.entries(checks).map(async ([name, { check }]): Promise<[string, TimedResult]> => {
    const startedAt = performance.now()
    const signal = AbortSignal.timeout(timeoutMs)
    const late = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const result = await Promise.race([check(signal), late]).catch(
      (): CheckResult => ({ status: 'unreachable', ok: false }),
    )
    return [name, { ...result, response_time: `${((performance.now() - startedAt) / 1000).toFixed(3)}s` }]
  })
  return Object.fromEntries(await Promise.all(timed))
}
