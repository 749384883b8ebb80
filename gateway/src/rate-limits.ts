import rateLimit from '@fastify/rate-limit'
import { type App, HttpError } from '@knowalledge/service-kit'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { addressOf } from './caller.ts'
import type { RequestCounts } from './request-counts.ts'

export interface RateLimitOptions {
  config: {
    RATE_LIMIT_PER_MINUTE: number
    RATE_LIMIT_CHEAP_PER_MINUTE: number
    RATE_LIMIT_NOT_FOUND_PER_MINUTE: number
    RATE_LIMIT_FAILED_LOGINS_PER_MINUTE: number
  }
  counts: RequestCounts
}

const windowMs = 60_000
/** May end in a call of Gemini. */
const expensive = new Set(['create_subtopics', 'create_presentation', 'image2topic', 'generate_image'])
/** Asked by machines that must know how things are just when they are bad. */
const unlimited = new Set(['health', 'ready', 'metrics'])

/**
 * Limits what each client may ask, by key, else session, else address: a 429 `rate_limited` before anything is spent.
 * Register it before callers are made out and before the routes it is to limit.
 */
export async function rateLimits(app: App, { config, counts }: RateLimitOptions): Promise<void> {
  // The plugin's own hook, which comes after this one, finds the limit in the route's config.
  app.addHook('onRoute', (route) => {
    const endpoint = route.config?.endpoint ?? ''
    if (unlimited.has(endpoint)) return
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
    errorResponseBuilder: (_request, { max, ttl }) => tooMany(`at most ${max} requests a minute for each client`, ttl),
  })
  limitNotFound(app, config.RATE_LIMIT_NOT_FOUND_PER_MINUTE)
  limitFailedLogins(app, counts, config.RATE_LIMIT_FAILED_LOGINS_PER_MINUTE)
}

/** Its good requests still work: one faulty page must not lock out all that share its address. */
function limitNotFound(app: App, max: number): void {
  if (max === 0) return
  const limited = app.rateLimit({
    max,
    keyGenerator: (request) => `not-found:${rateLimit.normalizeIP(addressOf(request))}`,
    errorResponseBuilder: (_request, { ttl }) => tooMany(`${max} in a minute for paths that do not exist`, ttl),
  })
  app.addHook('onRequest', function (request, reply, done) {
    if (!request.is404) return done()
    limited.call(this, request, reply).then(() => done(), done)
  })
}

/**
 * Counts the 401s of requests that brought a key. An address with too many of them is refused before its next key is
 * looked up, by what is known here: another gateway learns of it with the next failure there.
 */
function limitFailedLogins(app: App, counts: RequestCounts, max: number): void {
  if (max === 0) return
  const loginsOf = (request: FastifyRequest) => `failed-login:${rateLimit.normalizeIP(addressOf(request))}`
  let lastFailedMs = Number.NEGATIVE_INFINITY
  app.addHook('onRequest', (request, reply, done) => {
    if (performance.now() - lastFailedMs > windowMs || !bringsKey(request)) return done()
    const refused = counts.refusal({ key: loginsOf(request), max: max - 1 })
    if (refused === undefined) return done()
    showLimit(reply, max, refused.endsInMs)
    done(tooMany(`${max} wrong keys in a minute`, refused.endsInMs))
  })
  app.addHook('onError', (request, _reply, error, done) => {
    if (!bringsKey(request) || (error as Partial<HttpError>).code !== 'unauthorized') return done()
    lastFailedMs = performance.now()
    counts.add({ key: loginsOf(request), windowMs, max }, () => done())
  })
}

function bringsKey({ headers }: FastifyRequest): boolean {
  return headers.authorization !== undefined || headers['x-api-key'] !== undefined
}

function callerOf({ caller }: FastifyRequest): string {
  return caller.kind === 'address' ? `address:${rateLimit.normalizeIP(caller.id)}` : `${caller.kind}:${caller.id}`
}

function showLimit(reply: FastifyReply, max: number, endsInMs: number): void {
  reply.headers({
    'ratelimit-limit': max,
    'ratelimit-remaining': 0,
    'ratelimit-reset': Math.ceil(endsInMs / 1000),
  })
}

function tooMany(what: string, endsInMs: number): HttpError {
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
