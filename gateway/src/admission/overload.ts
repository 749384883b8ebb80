import underPressure from '@fastify/under-pressure'
import { type App, HttpError } from '@knowalledge/service-kit'
import type { FastifyRequest } from 'fastify'

export interface OverloadOptions {
  config: {
    MAX_EVENT_LOOP_DELAY_MS: number
    MAX_EVENT_LOOP_UTILIZATION: number
    MAX_HEAP_MEGABYTES: number
  }
}

/** They must answer just when it is too much. */
const alwaysAnswered = new Set(['health', 'ready', 'metrics'])
const sampleIntervalMs = 500
const logIntervalMs = 1_000

/** What a request that is shed gets, and why, for the log. */
export type Shed = (why: Record<string, unknown>) => HttpError

/**
 * Refuses with a 503 `overloaded` all but probes while event loop or heap are beyond their bounds. Returns how to refuse
 * in the same way for another reason.
 */
export async function overload(app: App, { config }: OverloadOptions): Promise<Shed> {
  const shed = shedding(app)
  await app.register(underPressure, {
    maxEventLoopDelay: config.MAX_EVENT_LOOP_DELAY_MS,
    maxEventLoopUtilization: config.MAX_EVENT_LOOP_UTILIZATION,
    eventLoopUtilizationMode: 'interval',
    maxHeapUsedBytes: config.MAX_HEAP_MEGABYTES * 1024 * 1024,
    sampleInterval: sampleIntervalMs,
    pressureHandler: (request, _reply, type, value) => {
      if (!isProbe(request)) throw shed({ [type]: value })
    },
  })
  return shed
}

/** The error is made once, as shedding must cost little, and logged once a second, not for each request. */
function shedding(app: App): Shed {
  const error = new HttpError('overloaded', 'The server is overloaded. Try again in a second.', {
    retryAfterSeconds: 1,
  })
  let loggedAtMs = Number.NEGATIVE_INFINITY
  return (why) => {
    const nowMs = performance.now()
    if (nowMs - loggedAtMs >= logIntervalMs) {
      loggedAtMs = nowMs
      app.log.warn(why, 'overloaded: requests are refused')
    }
    return error
  }
}

export function isProbe(request: FastifyRequest): boolean {
  return alwaysAnswered.has(request.routeOptions.config.endpoint ?? '')
}
