import rateLimit from '@fastify/rate-limit'
import { HttpError } from '@knowalledge/service-kit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { probes } from './in-flight.ts'
import { RequestCounts, type RequestCountsOptions } from './request-counts.ts'

export interface RateLimitOptions {
  config: {
    RATE_LIMIT_PER_MINUTE: number
    RATE_LIMIT_CHEAP_PER_MINUTE: number
    RATE_LIMIT_NOT_FOUND_PER_MINUTE: number
    QUOTA_POOL: string
  }
  /** Where all gateways count their clients' requests together; without Redis each counts its own. */
  requestCounts: Omit<RequestCountsOptions, 'pool'>
}

export const windowMs = 60_000
/** May end in a call of Gemini. */
const expensive = new Set(['create_subtopics', 'create_presentation', 'image2topic', 'generate_image'])

/** Limits the requests of each client, by key, else address: a 429 `rate_limited` before anything is spent. Decorates `app.requestCounts`. */
export const rateLimits = fp<RateLimitOptions>(
  async (app, { config, requestCounts }) => {
    const counts = new RequestCounts({ ...requestCounts, pool: config.QUOTA_POOL })
    app.addHook('onClose', async () => counts.close())
    app.decorate('requestCounts', counts)
    // The plugin's own hook, which comes after this one, finds the limit in the route's config.
    app.addHook('onRoute', (route) => {
      const endpoint = route.config?.endpoint ?? ''
      if (probes.has(endpoint)) return
      const [kind, max] = expensive.has(endpoint)
        ? ['expensive', config.RATE_LIMIT_PER_MINUTE]
        : ['cheap', config.RATE_LIMIT_CHEAP_PER_MINUTE]
      if (max === 0) return
      const rateLimit = { max, keyGenerator: (request: FastifyRequest) => `${kind}:${callerOf(request)}` }
      route.config = Object.assign(route.config ?? {}, { rateLimit })
    })
    await app.register(rateLimit, {
      global: false,
      enableDraftSpec: true,
      timeWindow: windowMs,
      store: storeOver(counts),
      errorResponseBuilder: (_request, { max, ttl }) =>
        tooMany(`at most ${max} requests a minute for each client`, ttl),
    })
    limitNotFound(app, config.RATE_LIMIT_NOT_FOUND_PER_MINUTE)
  },
  { name: 'rate-limits', dependencies: ['client-address'] },
)

/** Its good requests still work: one faulty page must not lock out all that share its address. */
function limitNotFound(app: FastifyInstance, max: number): void {
  if (max === 0) return
  const limited = app.rateLimit({
    max,
    keyGenerator: (request) => `not-found:${rateLimit.normalizeIP(request.caller.address)}`,
    errorResponseBuilder: (_request, { ttl }) => tooMany(`${max} in a minute for paths that do not exist`, ttl),
  })
  app.addHook('onRequest', function (request, reply, done) {
    if (!request.is404) return done()
    limited.call(this, request, reply).then(() => done(), done)
  })
}

/** A session is its key's: one that is made anew must not have a limit of its own. */
function callerOf({ caller: { address, keyId } }: FastifyRequest): string {
  return keyId === undefined ? `address:${rateLimit.normalizeIP(address)}` : `key:${keyId}`
}

export function tooMany(what: string, endsInMs: number): HttpError {
  const seconds = Math.ceil(endsInMs / 1000)
  return new HttpError('rate_limited', `Too many requests: ${what}. Try again in ${seconds} seconds.`, {
    fields: { retry_after: `${seconds} seconds` },
    retryAfterSeconds: seconds,
  })
}

/** The plugin's own Redis store either fails or lets everything in while Redis is down. */
function storeOver(counts: RequestCounts) {
  return class {
    incr(
      key: string,
      callback: (error: Error | null, result: { current: number; ttl: number }) => void,
      windowMs: number,
      max: number,
    ): void {
      counts.add({ key, windowMs, max }, ({ count, endsInMs }) => callback(null, { current: count, ttl: endsInMs }))
    }

    /** Every limit counts in the same place; the keys keep them apart. */
    child() {
      return this
    }
  }
}

declare module 'fastify' {
  interface FastifyInstance {
    requestCounts: RequestCounts
  }
}
