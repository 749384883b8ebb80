import underPressure from '@fastify/under-pressure'
import { type App, HttpError } from '@knowalledge/service-kit'
import type { FastifyRequest } from 'fastify'

export interface OverloadOptions {
  config: {
    MAX_IN_FLIGHT: number
    MAX_EVENT_LOOP_DELAY_MS: number
    MAX_EVENT_LOOP_UTILIZATION: number
    MAX_HEAP_MEGABYTES: number
  }
}

/** They must answer just when it is too much. */
const alwaysAnswered = new Set(['health', 'ready', 'metrics'])
const sampleIntervalMs = 500
const sayAgainMs = 1_000

/**
 * Refuses at once, with a 503 `overloaded`, what would only make everybody wait: requests beyond so many in flight, which
 * bounds the wait of those that are let in, and all while event loop or heap are beyond their bounds.
 */
export async function overload(app: App, { config }: OverloadOptions): Promise<void> {
  const shed = shedding(app)
  await app.register(underPressure, {
    maxEventLoopDelay: config.MAX_EVENT_LOOP_DELAY_MS,
    maxEventLoopUtilization: config.MAX_EVENT_LOOP_UTILIZATION,
    eventLoopUtilizationMode: 'interval',
    maxHeapUsedBytes: config.MAX_HEAP_MEGABYTES * 1024 * 1024,
    sampleInterval: sampleIntervalMs,
    pressureHandler: (request, _reply, type, value) => {
      if (!isAlwaysAnswered(request)) throw shed({ [type]: value })
    },
  })
  if (config.MAX_IN_FLIGHT > 0) boundInFlight(app, config.MAX_IN_FLIGHT, shed)
}

function boundInFlight(app: App, max: number, shed: Shed): void {
  let inFlight = 0
  const left = () => void inFlight--
  app.addHook('onRequest', (request, reply, done) => {
    if (isAlwaysAnswered(request)) return done()
    if (inFlight >= max) return done(shed({ inFlight }))
    inFlight++
    reply.raw.once('close', left) // Fastify's onResponse does not run for a client that left
    done()
  })
}

type Shed = (why: Record<string, unknown>) => HttpError

/** Made once, as shedding must cost little; and said once a second, not for each request. */
function shedding(app: App): Shed {
  const error = new HttpError('overloaded', 'There is more to do than can be done right now. Try again in a second.', {
    retryAfterSeconds: 1,
  })
  let saidAtMs = Number.NEGATIVE_INFINITY
  return (why) => {
    const nowMs = performance.now()
    if (nowMs - saidAtMs >= sayAgainMs) {
      saidAtMs = nowMs
      app.log.warn(why, 'overloaded: requests are refused')
    }
    return error
  }
}

function isAlwaysAnswered(request: FastifyRequest): boolean {
  return alwaysAnswered.has(request.routeOptions.config.endpoint ?? '')
}
