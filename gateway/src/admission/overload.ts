import underPressure from '@fastify/under-pressure'
import { HttpError } from '@knowalledge/service-kit'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { isProbe } from './in-flight.ts'

interface OverloadConfig {
  MAX_EVENT_LOOP_DELAY_MS: number
  MAX_EVENT_LOOP_UTILIZATION: number
  MAX_HEAP_MEGABYTES: number
}

const sampleIntervalMs = 500
const logIntervalMs = 1_000

/** What a request that is shed gets, and why, for the log. */
export type Shed = (why: Record<string, unknown>) => HttpError

/** Refuses with a 503 `overloaded` all but probes while event loop or heap are beyond their bounds. Decorates `app.shed`. */
export const overload = fp<OverloadConfig>(
  async (app, config) => {
    const shed = shedding(app)
    app.decorate('shed', shed)
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
  },
  { name: 'overload' },
)

/** The error is made once, as shedding must cost little, and logged once a second, not for each request. */
function shedding(app: FastifyInstance): Shed {
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

declare module 'fastify' {
  interface FastifyInstance {
    /** The 503 for a request that is refused because of overload, and why, for the log. */
    shed: Shed
  }
}
