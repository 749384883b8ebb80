import type { IncomingHttpHeaders } from 'node:http'
import { PassThrough, Readable } from 'node:stream'
import type { FastifyHttpProxyOptions } from '@fastify/http-proxy'
import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import type { Dispatcher } from 'undici'
import type { Shed } from '../admission/overload.ts'

/**
 * A body up to this long is read first and passed on in one piece. It is cheaper so; a slow client then keeps no service
 * waiting; and an answer that breaks off is an error that says so, not half an answer.
 */
const smallBodyBytes = 64 * 1024

/** What @fastify/reply-from sends by. Its own types are those of an older undici, with the same `request`. */
type ReplyFromUndici = Extract<NonNullable<FastifyHttpProxyOptions['undici']>, { request: unknown }>
type Options = Dispatcher.DispatchOptions
type Callback = (error: Error | null, answer?: Answer) => void

/** A service's answer: whole where it is small, otherwise as it comes. */
interface Answer {
  statusCode: number
  headers: IncomingHttpHeaders
  body: Buffer | Readable
}

/** reply-from hands over the headers of a request and nothing of its client, so the client travels with them; never sent. */
const clientOf = Symbol('client')

interface HeadersOfClient extends IncomingHttpHeaders {
  [clientOf]?: FastifyReply
}

/** Headers of a request that is cancelled when this client leaves before its answer. (reply-from cancels nothing.) */
export function forClient(client: FastifyReply, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const marked: HeadersOfClient = headers
  marked[clientOf] = client
  return marked
}

/** `scope.forwarder`; refuses requests to this scope while services work on as many as they may. */
export const forwarder = fp<{ MAX_IN_FLIGHT: number }>(
  async (scope, { MAX_IN_FLIGHT }) => {
    const forwarder = new Forwarder({ maxInFlight: MAX_IN_FLIGHT, shed: scope.shed })
    scope.decorate('forwarder', forwarder)
    scope.addHook('onRequest', (_request, _reply, done) => done(forwarder.refusal()))
  },
  { name: 'forwarder', dependencies: ['overload'] },
)

export interface ForwarderOptions {
  /** Requests that services work on at once; 0: no limit. */
  maxInFlight: number
  shed: Shed
}

/** Between @fastify/reply-from and a dispatcher: bounds what is in flight, and cancels what no client waits for. */
export class Forwarder {
  readonly #maxInFlight: number
  readonly #shed: Shed
  #inFlight = 0

  constructor({ maxInFlight, shed }: ForwarderOptions) {
    this.#maxInFlight = maxInFlight || Number.POSITIVE_INFINITY
    this.#shed = shed
  }

  /** The error for a request that would be one too many now; undefined when there is room. */
  refusal(): Error | undefined {
    return this.#inFlight < this.#maxInFlight ? undefined : this.#shed({ inFlight: this.#inFlight })
  }

  /** For http-proxy's option `undici`. */
  to(dispatcher: Dispatcher): ReplyFromUndici {
    const request = (options: Options, callback: Callback) => this.#forward(dispatcher, options, callback)
    return { request } as ReplyFromUndici
  }

  #forward(dispatcher: Dispatcher, options: Options, callback: Callback): void {
    const headers = options.headers as HeadersOfClient
    const client = headers[clientOf]
    const { body } = options
    const start = (body: Options['body'] = null): Exchange | undefined => {
      if (client?.raw.destroyed) return undefined // it has left while its body was read
      const exchange = new Exchange(callback)
      client?.raw.once('close', () => exchange.cancel())
      dispatcher.dispatch({ ...options, body }, exchange)
      return exchange
    }
    const startIfRoom = (body: Options['body']) => {
      const refusal = this.refusal()
      if (refusal) client?.send(refusal)
      else this.#count(start(body))
    }
    if (!(body instanceof Readable)) startIfRoom(body)
    else if (isSmall(headers)) whenRead(body, startIfRoom)
    else this.#countAtEnd(body, start(expendable(body)), client)
  }

  /** An upload takes a place in flight only when all of it has arrived: a slow client must not keep one. */
  #countAtEnd(upload: Readable, exchange: Exchange | undefined, client: FastifyReply | undefined): void {
    upload.once('end', () => {
      const refusal = exchange?.isUnderWay ? this.refusal() : undefined
      if (refusal === undefined) return this.#count(exchange)
      exchange?.cancel()
      client?.send(refusal)
    })
  }

  #count(exchange: Exchange | undefined): void {
    if (!exchange?.isUnderWay) return
    this.#inFlight++
    exchange.onEnd = () => {
      this.#inFlight--
      exchange.onEnd = () => {}
    }
  }
}

/** One request and its answer, without the stream and the signal that undici's own `request` makes for each. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #callback: Callback
  #controller: Dispatcher.DispatchController | undefined
  #answer: Answer | undefined
  /** Of a small answer. */
  readonly #parts: Buffer[] = []
  #state: 'under way' | 'over' | 'cancelled' = 'under way'
  /** The service is done with it. */
  onEnd = () => {}

  constructor(callback: Callback) {
    this.#callback = callback
  }

  get isUnderWay(): boolean {
    return this.#state === 'under way'
  }

  /** Nobody waits for its answer any more. */
  cancel(): void {
    if (this.#state !== 'under way') return
    this.#state = 'cancelled'
    this.#controller?.abort(clientAborted)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#state === 'cancelled') controller.abort(clientAborted)
  }

  onResponseStart(controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders): void {
    if (statusCode < 200) return // more is to come
    const isWhole = isSmall(headers) && statusCode !== 204 && statusCode !== 304
    const body = isWhole ? nothing : new AnswerBody(controller)
    this.#answer = { statusCode, headers, body }
    // A client that waits in line for minutes costs next to nothing, and takes no place from others.
    if (String(headers['content-type']).startsWith('text/event-stream')) this.onEnd()
    if (!isWhole) this.#callback(null, this.#answer)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const body = this.#answer?.body
    if (!(body instanceof Readable)) this.#parts.push(chunk)
    else if (!body.push(chunk)) controller.pause()
  }

  onResponseEnd(): void {
    this.onEnd()
    if (this.#state === 'cancelled') return
    this.#state = 'over'
    const answer = this.#answer as Answer
    if (answer.body instanceof Readable) return void answer.body.push(null)
    answer.body = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts)
    this.#callback(null, answer)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    const isWanted = this.#state === 'under way'
    if (isWanted) this.#state = 'over'
    this.onEnd()
    const body = this.#answer?.body
    if (body instanceof Readable) body.destroy(error)
    else if (isWanted) this.#callback(error)
  }
}

const clientAborted = new DOMException('The client went away.', 'AbortError')
const nothing = Buffer.alloc(0)

/** A large answer, or one that comes bit by bit: the service waits for who reads it. */
class AnswerBody extends Readable {
  readonly #controller: Dispatcher.DispatchController

  constructor(controller: Dispatcher.DispatchController) {
    super()
    this.#controller = controller
  }

  override _read(): void {
    this.#controller.resume()
  }

  /** Breaks the answer off, unless all of it has come. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#controller.abort(error ?? clientAborted)
    done(error)
  }
}

function isSmall({ 'content-length': length }: IncomingHttpHeaders): boolean {
  return length !== undefined && Number(length) <= smallBodyBytes
}

/** Not at all, when the client leaves before its end. */
function whenRead(body: Readable, send: (whole: Buffer) => void): void {
  const parts: Buffer[] = []
  body.on('data', (part: Buffer) => parts.push(part)).once('end', () => send(Buffer.concat(parts)))
}

/**
 * undici destroys a stream whose request failed, and with the client's own the connection on which it is to be told. What
 * is left of an upload that nobody wants any more is read and dropped, so that the client comes to read its answer.
 */
function expendable(body: Readable): Readable {
  const copy = body.pipe(new PassThrough())
  body.once('error', (error) => copy.destroy(error)) // it has grown too large: the request is broken off with it
  return copy.on('error', () => {}).once('close', () => body.resume()) // its error is the request's, and told there
}

declare module 'fastify' {
  interface FastifyInstance {
    forwarder: Forwarder
  }
}
