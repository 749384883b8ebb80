import rateLimit from '@fastify/rate-limit'
import type { HttpError } from '@knowalledge/service-kit'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { tooMany, windowMs } from './rate-limits.ts'
import type { RequestCounts } from './request-counts.ts'

export interface FailedLoginsOptions {
  counts: RequestCounts
  /** What was shown, such as `key`. Each kind is counted by itself. */
  kind: string
  /** Failures of one address in a minute that are a 401; more are a 429. 0: no limit. */
  max: number
}

/** Counts wrong secrets by address, in all gateways together. */
export class FailedLogins {
  readonly #options: FailedLoginsOptions

  constructor(options: FailedLoginsOptions) {
    this.#options = options
  }

  /** Counts one more. Resolves with the error of one that is too many. */
  async count(request: FastifyRequest, reply: FastifyReply): Promise<HttpError | undefined> {
    const { counts, max } = this.#options
    if (max === 0) return undefined
    const { promise, resolve } = Promise.withResolvers<{ count: number; endsInMs: number }>()
    counts.add({ key: this.#keyOf(request), windowMs, max }, resolve)
    const { count, endsInMs } = await promise
    return count > max ? this.#refuse(reply, endsInMs) : undefined
  }

  /** The error for an address that has used up its failures, before its next secret is looked at. */
  refusal(request: FastifyRequest, reply: FastifyReply): HttpError | undefined {
    const { counts, max } = this.#options
    const refused = max === 0 ? undefined : counts.refusal({ key: this.#keyOf(request), max: max - 1 })
    return refused && this.#refuse(reply, refused.endsInMs)
  }

  #keyOf(request: FastifyRequest): string {
    return `failed-login:${this.#options.kind}:${rateLimit.normalizeIP(request.caller.address)}`
  }

  #refuse(reply: FastifyReply, endsInMs: number): HttpError {
    const { kind, max } = this.#options
    reply.headers({
      'ratelimit-limit': max,
      'ratelimit-remaining': 0,
      'ratelimit-reset': Math.ceil(endsInMs / 1000),
    })
    return tooMany(`${max} wrong ${kind}s in a minute`, endsInMs)
  }
}
