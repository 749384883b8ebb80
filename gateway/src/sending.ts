import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingHttpHeaders } from 'node:http'
import { PassThrough, Readable } from 'node:stream'
import type { FastifyHttpProxyOptions } from '@fastify/http-proxy'
import { Agent, type Dispatcher } from 'undici'
import { isUnreachable } from './upstream-errors.ts'
import type { Instance, Upstream } from './upstreams.ts'

/**
 * An idle connection is closed from here, and sooner than a service that drains would end it (DRAIN_MS): a request is
 * never sent into a connection that is being closed. As many as there are requests: these are bounded at the door.
 */
const connections = { connections: null, pipelining: 1, keepAliveTimeout: 1_000, keepAliveMaxTimeout: 1_000 }

/** The longest a connection may take: enough for a lost packet to be sent again, little beside the patience with an answer. */
const connectTimeoutMs = 2_000

/** A body up to this long is read first and sent in one piece: it is cheaper so, and a slow client then keeps no service waiting. */
const smallBodyBytes = 64 * 1024

type Body = NonNullable<Dispatcher.RequestOptions['body']> | null
type Answered = (error: Error | null, answer: Dispatcher.ResponseData) => void

/** What @fastify/reply-from sends by. (Its own types are those of an older undici, with the same `request`.) */
export type Sender = Extract<NonNullable<FastifyHttpProxyOptions['undici']>, { request: unknown }>

/** Sends requests to instances of services: each to the least busy, and to the next when that takes no connection. */
export class Sending {
  readonly #agent: Agent
  readonly #patience = new AsyncLocalStorage<AbortSignal>()

  /** `timeoutMs` is the patience with the head of an answer, and then with each part of its body. */
  constructor({ timeoutMs }: { timeoutMs: number }) {
    const connect = { timeout: Math.min(connectTimeoutMs, timeoutMs / 2) }
    this.#agent = new Agent({ ...connections, connect, headersTimeout: timeoutMs, bodyTimeout: timeoutMs })
  }

  /** Whatever `proxy` sends is cancelled when `signal` aborts. (reply-from passes on no signal, so it goes around it.) */
  until<T>(signal: AbortSignal, proxy: () => T): T {
    return this.#patience.run(signal, proxy)
  }

  /** Whatever origin is asked for: the instance is chosen here. */
  to(upstream: Upstream): Sender {
    const balanced = this.#agent.compose((dispatch) => (options, handler) => {
      new Delivery(upstream, { dispatch, options, handler }).tryNext()
      return true
    })
    const request = (options: Dispatcher.RequestOptions, answered: Answered) => {
      const signal = this.#patience.getStore() ?? null
      const send = (body: Body) =>
        balanced.request({ ...options, signal, body }, (error, answer) => {
          if (!signal?.aborted) answered(error, answer) // otherwise nobody is there to be told, and nothing is wrong
        })
      const { body = null, headers } = options
      if (!(body instanceof Readable)) send(body)
      else if (isSmall(headers as IncomingHttpHeaders)) whenRead(body, send)
      else send(expendable(body))
    }
    return { request: request as unknown as Sender['request'] }
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}

interface Job {
  dispatch: Dispatcher.Dispatch
  options: Dispatcher.DispatchOptions
  handler: Dispatcher.DispatchHandler
}

/** One request on its way: until a connection stands, nothing of it has left, and it may go elsewhere. */
class Delivery implements Dispatcher.DispatchHandler {
  readonly #upstream: Upstream
  readonly #job: Job
  readonly #tried: Instance[] = []
  #hasLeft = false

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
    const { dispatch, options } = this.#job
    dispatch({ ...options, origin: instance.url }, this)
    return true
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#hasLeft = true
    this.#job.handler.onRequestStart?.(controller, context)
  }

  onResponseStart(...head: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>): void {
    this.#job.handler.onResponseStart?.(...head)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#job.handler.onResponseData?.(controller, chunk)
  }

  onResponseEnd(...end: Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseEnd']>>): void {
    this.#instance.inFlight--
    this.#job.handler.onResponseEnd?.(...end)
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#instance.inFlight--
    if (!this.#hasLeft && isUnreachable(error)) {
      this.#instance.leaveOut()
      if (this.tryNext()) return
    }
    this.#job.handler.onResponseError?.(controller, error)
  }

  get #instance(): Instance {
    return this.#tried.at(-1) as Instance
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
