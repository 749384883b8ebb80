import type { Socket } from 'node:net'
import { normalizeIP } from '@fastify/rate-limit'
import { HttpError } from '@knowalledge/service-kit'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

interface InFlightLimits {
  MAX_IN_FLIGHT_PER_ADDRESS: number
  MAX_IN_FLIGHT_PER_CLIENT: number
  MIN_BYTES_PER_SECOND: number
}

const sweepIntervalMs = 1_000
/** What must move in each period. Large bodies travel in pieces of this size, so a shorter period could see none move. */
const pieceBytes = 64 * 1024

/**
 * Bounds what one address has in flight, from the headers of a request to the last byte of its answer, on any route but
 * probes, and ends requests whose client sends or reads too slowly.
 */
export const limitEachAddress = fp<InFlightLimits>(
  async (app, { MAX_IN_FLIGHT_PER_ADDRESS: max, MIN_BYTES_PER_SECOND: rate }) => {
    const places = new Places(max)
    const transfers = new Set<Transfer>()
    if (rate > 0) sweepWhileOpen(app, transfers, (pieceBytes / rate) * 1000)
    app.addHook('onRequest', (request, reply, done) => {
      if (isProbe(request)) return done()
      const address = normalizeIP(request.caller.address)
      if (!places.take(address)) return done(tooManyAtOnce(max, 'address'))
      const transfer = new Transfer(request, reply)
      transfers.add(transfer)
      reply.raw.once('close', () => {
        places.leave(address)
        transfers.delete(transfer)
      })
      done()
    })
  },
  { name: 'in-flight-per-address', dependencies: ['client-address'] },
)

/** Bounds what one key or browser has in flight on the routes of this scope. */
export const limitEachClient = fp<Pick<InFlightLimits, 'MAX_IN_FLIGHT_PER_CLIENT'>>(
  async (scope, { MAX_IN_FLIGHT_PER_CLIENT: max }) => {
    const places = new Places(max)
    scope.addHook('onRequest', ({ caller }, reply, done) => {
      const id = caller.kind === 'address' ? caller.browser : caller.id
      if (id === undefined) return done() // an address has its own limit
      if (!places.take(id)) return done(tooManyAtOnce(max, 'client'))
      reply.raw.once('close', () => places.leave(id))
      done()
    })
  },
  { name: 'in-flight-per-client', dependencies: ['identify-clients'] },
)

/** They must be answered just when there is too much of everything else. */
export const probes: ReadonlySet<string> = new Set(['health', 'ready', 'metrics'])

export function isProbe({ routeOptions }: FastifyRequest): boolean {
  return probes.has(routeOptions.config.endpoint ?? '')
}

function tooManyAtOnce(max: number, whose: 'address' | 'client'): HttpError {
  return new HttpError('rate_limited', `Too many requests at once: at most ${max} for each ${whose}. Try again.`, {
    fields: { retry_after: '1 second' },
    retryAfterSeconds: 1,
  })
}

function sweepWhileOpen(app: FastifyInstance, transfers: Set<Transfer>, periodMs: number): void {
  const sweep = () => {
    const nowMs = performance.now()
    for (const transfer of transfers) transfer.check(nowMs, periodMs)
  }
  const timer = setInterval(sweep, sweepIntervalMs).unref()
  app.addHook('onClose', async () => clearInterval(timer))
}

/** One request in flight, and how far its bytes had come when the current period began. */
class Transfer {
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  #moved: { direction: 'in' | 'out'; bytes: number; sinceMs: number } | undefined
  #isCut = false

  constructor(request: FastifyRequest, reply: FastifyReply) {
    this.#request = request
    this.#reply = reply
  }

  check(nowMs: number, periodMs: number): void {
    const { socket } = this.#request.raw
    if (this.#isCut) return void socket.destroy() // it had a second to read its 408
    const moved = this.#bytesMoved(socket)
    const before = this.#moved
    if (moved === undefined || moved.direction !== before?.direction) {
      this.#moved = moved && { ...moved, sinceMs: nowMs }
    } else if (nowMs - before.sinceMs >= periodMs) {
      // The first bytes of a piece are not seen until all of it has left.
      const least = moved.direction === 'in' ? pieceBytes : 1
      if (moved.bytes - before.bytes < least) this.#cut(socket)
      else this.#moved = { ...moved, sinceMs: nowMs }
    }
  }

  /** Undefined while the client owes nothing: it has sent all and taken all, or the service takes its time. */
  #bytesMoved(socket: Socket): { direction: 'in' | 'out'; bytes: number } | undefined {
    if (socket.writableLength > 0) return { direction: 'out', bytes: socket.bytesWritten - socket.writableLength }
    const { complete, readableLength, readableHighWaterMark } = this.#request.raw
    if (complete || readableLength >= readableHighWaterMark) return undefined
    return { direction: 'in', bytes: socket.bytesRead }
  }

  #cut(socket: Socket): void {
    this.#isCut = true
    this.#request.outcome.too_slow = true
    if (this.#reply.raw.headersSent) return void socket.destroy()
    const error = Object.assign(new Error('The request arrives too slowly'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
    this.#request.server.server.emit('clientError', error, socket) // as Node itself does: it ends in a 408
  }
}

/** Counts what each name has under way, up to a maximum; 0: no maximum. */
export class Places {
  readonly #max: number
  readonly #taken = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** False, and nothing is taken, when this name has all that it may have. */
  take(name: string): boolean {
    if (this.#max === 0) return true
    const taken = this.#taken.get(name) ?? 0
    if (taken >= this.#max) return false
    this.#taken.set(name, taken + 1)
    return true
  }

  leave(name: string): void {
    if (this.#max === 0) return
    const left = (this.#taken.get(name) ?? 1) - 1
    if (left === 0) this.#taken.delete(name)
    else this.#taken.set(name, left)
  }
}
