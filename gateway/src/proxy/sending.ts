import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingHttpHeaders } from 'node:http'
import { PassThrough, Readable } from 'node:stream'
import type { FastifyHttpProxyOptions } from '@fastify/http-proxy'
import type { FastifyReply } from 'fastify'
import { Agent, type Dispatcher } from 'undici'
import type { Shed } from '../admission/overload.ts'
import { isUnreachable } from './errors.ts'
import type { Instance, Upstream } from './upstreams.ts'

/**
 * An idle connection is closed from here, and sooner than a service that drains would end it (DRAIN_MS): a request is
 * never sent into a connection that is being closed. As many as there are requests: overload.ts bounds these.
 */
const connections = { connections: null, pipelining: 1, keepAliveTimeout: 1_000, keepAliveMaxTimeout: 1_000 }

/** The longest a connection may take: enough for a lost packet to be sent again, little beside the timeout of an answer. */
const connectTimeoutMs = 2_000

/**
 * A body up to this long is read first and passed on in one piece. It is cheaper so; a slow client then keeps no service
 * waiting; and an answer that breaks off is an error that says so, not half an answer.
 */
const smallBodyBytes = 64 * 1024

type Body = NonNullable<Dispatcher.DispatchOptions['body']> | null
type Answered = (error: Error | null, answer?: Answer) => void

/** A service's answer: whole where it is small, otherwise as it comes. */
export interface Answer {
  statusCode: number
  headers: IncomingHttpHeaders
  body: Buffer | Readable
}

/** What @fastify/reply-from sends by. (Its own types are those of an older undici, with the same `request`.) */
export type Sender = Extract<NonNullable<FastifyHttpProxyOptions['undici']>, { request: unknown }>

export interface SendingOptions {
  /** With the head of an answer, and then with each part of its body. */
  timeoutMs: number
  /** Requests that services work on at once; 0: no limit. */
  maxInFlight: number
  shed: Shed
}

/** Sends requests to instances of services: each to the least busy, and to the next when that takes no connection. */
export class Sending {
  readonly #agent: Agent
  readonly #clients = new AsyncLocalStorage<FastifyReply>()
  readonly #maxInFlight: number
  readonly #shed: Shed
  #inFlight = 0

  constructor({ timeoutMs, maxInFlight, shed }: SendingOptions) {
    this.#maxInFlight = maxInFlight || Number.POSITIVE_INFINITY
    this.#shed = shed
    const connect = { timeout: Math.min(connectTimeoutMs, timeoutMs / 2) }
    this.#agent = new Agent({ ...connections, connect, headersTimeout: timeoutMs, bodyTimeout: timeoutMs })
  }

  /** The error for a request that would be one too many now; undefined when there is room. */
  refusal(): Error | undefined {
    return this.#inFlight < this.#maxInFlight ? undefined : this.#shed({ inFlight: this.#inFlight })
  }

  /** Whatever `proxy` sends is cancelled when this client leaves before its answer. (reply-from cancels nothing.) */
  forClient<T>(client: FastifyReply, proxy: () => T): T {
    return this.#clients.run(client, proxy)
  }

  /** Whatever origin is asked for: the instance is chosen here. A body that still arrives takes no place in flight. */
  to(upstream: Upstream): Sender {
    const request = (options: Dispatcher.DispatchOptions, answered: Answered) => {
      const client = this.#clients.getStore()
      const start = (body: Body): Exchange | undefined => {
        if (client?.raw.destroyed) return undefined // it has left while its body was read
        const exchange = new Exchange(upstream, { agent: this.#agent, options: { ...options, body }, answered })
        client?.raw.once('close', () => exchange.cancel())
        exchange.tryNext()
        return exchange
      }
      const send = (body: Body) => {
        const refusal = this.refusal()
        if (refusal) client?.send(refusal)
        else this.#count(start(body))
      }
      const { body = null, headers } = options
      if (!(body instanceof Readable)) return send(body)
      if (isSmall(headers as IncomingHttpHeaders)) return whenRead(body, send)
      const exchange = start(expendable(body))
      body.once('end', () => {
        const refusal = exchange?.isUnderWay ? this.refusal() : undefined
        if (refusal === undefined) return this.#count(exchange)
        exchange?.cancel()
        client?.send(refusal)
      })
    }
    return { request: request as unknown as Sender['request'] }
  }

  #count(exchange: Exchange | undefined): void {
    if (!exchange?.isUnderWay) return
    this.#inFlight++
    exchange.onEnd = () => {
      this.#inFlight--
      exchange.onEnd = () => {}
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}

interface Job {
  agent: Agent
  options: Dispatcher.DispatchOptions
  answered: Answered
}

/** One request and its answer: until a connection stands, nothing of it has left, and it may go elsewhere. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #upstream: Upstream
  readonly #job: Job
  readonly #tried: Instance[] = []
  #controller: Dispatcher.DispatchController | undefined
  #answer: Answer | undefined
  /** Of a small answer. */
  readonly #parts: Buffer[] = []
  #state: 'under way' | 'over' | 'not wanted' = 'under way'
  /** The service is done with it. */
  onEnd = () => {}

  constructor(upstream: Upstream, job: Job) {
    this.#upstream = upstream
    this.#job = job
  }

  /** False when every instance was tried. */
  tryNext(): boolean {
    const instance = this.#upstream.next(this.#tried)
    if (instance === undefined) return false
    this.#tried.push(instance)
    instance.inFlight++
    const { agent, options } = this.#job
    options.origin = instance.url
    agent.dispatch(options, this)
    return true
  }

  get isUnderWay(): boolean {
    return this.#state === 'under way'
  }

  /** Nobody waits for its answer any more. */
  cancel(): void {
    if (this.#state !== 'under way') return
    this.#state = 'not wanted'
    this.#controller?.abort(notWanted)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#state === 'not wanted') controller.abort(notWanted)
  }

  onResponseStart(controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders): void {
    if (statusCode < 200) return // more is to come
    const isWhole = isSmall(headers) && statusCode !== 204 && statusCode !== 304
    const body = isWhole ? nothing : new AnswerBody(controller)
    this.#answer = { statusCode, headers, body }
    // A client that waits in line for minutes costs next to nothing, and takes no place from others.
    if (String(headers['content-type']).startsWith('text/event-stream')) this.onEnd()
    if (!isWhole) this.#job.answered(null, this.#answer)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const body = this.#answer?.body
    if (!(body instanceof Readable)) this.#parts.push(chunk)
    else if (!body.push(chunk)) controller.pause()
  }

  onResponseEnd(): void {
    this.#instance.inFlight--
    this.onEnd()
    if (this.#state === 'not wanted') return
    this.#state = 'over'
    const answer = this.#answer as Answer
    if (answer.body instanceof Readable) return void answer.body.push(null)
    answer.body = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts)
    this.#job.answered(null, answer)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#instance.inFlight--
    const isWanted = this.#state === 'under way'
    if (this.#controller === undefined && isUnreachable(error)) {
      this.#instance.leaveOut()
      if (isWanted && this.tryNext()) return
    }
    if (isWanted) this.#state = 'over'
    this.onEnd()
    const body = this.#answer?.body
    if (body instanceof Readable) body.destroy(error)
    else if (isWanted) this.#job.answered(error)
  }

  get #instance(): Instance {
    return this.#tried.at(-1) as Instance
  }
}

const notWanted = new DOMException('The client went away.', 'AbortError')
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
    this.#controller.abort(error ?? notWanted)
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
