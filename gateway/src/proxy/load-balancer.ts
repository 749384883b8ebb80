import type { IncomingHttpHeaders } from 'node:http'
import { isIP, type LookupFunction } from 'node:net'
import { Dispatcher, Pool } from 'undici'
import { isUnreachable } from './errors.ts'

/**
 * An idle connection is closed from here, and sooner than a service that drains would end it (DRAIN_MS): a request is
 * never sent into a connection that is being closed. As many as there are requests: admission/ bounds these.
 */
const connections = { connections: null, pipelining: 1, keepAliveTimeout: 1_000, keepAliveMaxTimeout: 1_000 }

/** The longest a connection may take: enough for a lost packet to be sent again, little beside the timeout of an answer. */
const connectTimeoutMs = 2_000

/** An address that refused a connection is tried again after this long, or as soon as its `/ready` says yes. */
const ejectedForMs = 5_000

export type ServiceName = 'text-generation' | 'vision' | 'image-generation'

export interface LoadBalancerOptions {
  name: ServiceName
  /** Where the service is: `http://host:port`, one or several. A name may stand for several addresses. */
  urls: readonly string[]
  /** Timeout of the head of an answer, and then of each part of its body, in milliseconds. */
  timeoutMs: number
  /** True: a discovered address gets requests only after its first check, see `report`. */
  isChecked?: boolean
  /** Milliseconds that only go forward. */
  clock?: () => number
}

/** One address of a service. Requests keep the URL as it is configured, so also Host and the name in a certificate. */
export class Address {
  readonly url: string
  /** What the URL's host resolved to; undefined: undici looks it up for each connection. */
  readonly ip: string | undefined
  readonly pool: Pool
  /** Not the pool of requests: checks would keep its connections open until a service that drains closes them. */
  readonly #probes: Pool
  /** Requests that were sent there and are not over. */
  inFlight = 0
  lastTurn = 0
  ejectedUntilMs = Number.NEGATIVE_INFINITY
  /** What its last check said. */
  isReady: boolean | undefined

  constructor(url: string, ip: string | undefined, timeoutMs: number) {
    this.url = url
    this.ip = ip
    const connect = { timeout: Math.min(connectTimeoutMs, timeoutMs / 2), ...(ip && { lookup: always(ip) }) }
    const options = { ...connections, connect, headersTimeout: timeoutMs, bodyTimeout: timeoutMs }
    this.pool = new Pool(url, options)
    this.#probes = new Pool(url, options)
  }

  /** A request of the gateway itself, which does not count as in flight. */
  get(path: string, signal: AbortSignal, headers: IncomingHttpHeaders = {}): Promise<Dispatcher.ResponseData> {
    return this.#probes.request({ path, method: 'GET', signal, headers })
  }

  /** Does it answer `path` with a 200? Refused, reset, late and any other status are all a no. */
  async answersWith200(path: string, signal: AbortSignal): Promise<boolean> {
    try {
      const { statusCode, body } = await this.get(path, signal)
      await body.dump()
      return statusCode === 200
    } catch {
      return false
    }
  }

  /** Resolves when its last request is over. */
  async close(): Promise<void> {
    await Promise.all([this.pool.close(), this.#probes.close()])
  }

  async destroy(): Promise<void> {
    await Promise.all([this.pool.destroy(), this.#probes.destroy()])
  }
}

/**
 * Sends each request to the least busy address of a service, in turn among equals. An address that takes no connection is
 * ejected, and the request, of which nothing was sent, goes to the next; each address once.
 */
export class LoadBalancer extends Dispatcher {
  readonly name: ServiceName
  readonly urls: readonly string[]
  readonly #options: LoadBalancerOptions
  readonly #clock: () => number
  #addresses: readonly Address[]
  /** Of addresses that are gone, until their last request is over. */
  readonly #retiring = new Set<Address>()
  #isDestroyed = false
  #changes = 0
  #turn = 0

  constructor({ clock = () => performance.now(), ...options }: LoadBalancerOptions) {
    super()
    this.name = options.name
    this.urls = options.urls
    this.#options = options
    this.#clock = clock
    this.#addresses = options.urls.map((url) => new Address(url, undefined, options.timeoutMs))
  }

  /** Never empty. */
  get addresses(): readonly Address[] {
    return this.#addresses
  }

  /** Grows when an address comes or goes, or its readiness changes; 0 while none was checked. */
  get changes(): number {
    return this.#changes
  }

  /** Replaces the addresses of one of `urls` by `ips`, at least one. One that is gone gets no new request; its running ones finish. True: changed. */
  setAddresses(url: string, ips: readonly string[]): boolean {
    const gone = this.#addresses.filter((address) => address.url === url && !ips.includes(address.ip ?? ''))
    const known = this.#addresses.map((address) => address.url === url && address.ip)
    const joining = ips.filter((ip) => !known.includes(ip))
    if (gone.length + joining.length === 0 || this.#isDestroyed) return false
    const joined = joining.map((ip) => new Address(url, ip, this.#options.timeoutMs))
    if (this.#options.isChecked) for (const address of joined) address.ejectedUntilMs = Number.POSITIVE_INFINITY
    this.#addresses = [...this.#addresses.filter((address) => !gone.includes(address)), ...joined]
    this.#changes++
    for (const address of gone) void this.#retire(address)
    return true
  }

  async #retire(address: Address): Promise<void> {
    this.#retiring.add(address)
    await address.close()
    this.#retiring.delete(address)
  }

  /** What a check of an address found: one that is not ready is ejected until a check finds that it is. */
  report(address: Address, isReady: boolean): void {
    if (isReady !== address.isReady) this.#changes++
    address.isReady = isReady
    address.ejectedUntilMs = isReady ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  }

  eject(address: Address): void {
    address.ejectedUntilMs = Math.max(address.ejectedUntilMs, this.#clock() + ejectedForMs)
  }

  /** The next address for a request; an ejected one only when no other is left. Undefined when all were tried. */
  choose(tried: readonly Address[]): Address | undefined {
    const nowMs = this.#clock()
    let best: Address | undefined
    for (const address of this.#addresses) {
      if (!tried.includes(address) && (best === undefined || goesBefore(address, best, nowMs))) best = address
    }
    if (best) best.lastTurn = ++this.#turn
    return best
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return new Attempts(this, options, handler).sendTo(this.choose([]) as Address)
  }

  override async close(): Promise<void> {
    await Promise.all(this.#addresses.map((address) => address.close()))
  }

  override async destroy(): Promise<void> {
    this.#isDestroyed = true
    await Promise.all([...this.#retiring, ...this.#addresses].map((address) => address.destroy()))
  }
}

function always(ip: string): LookupFunction {
  const family = isIP(ip)
  return (_hostname, { all }, done) => (all ? done(null, [{ address: ip, family }]) : done(null, ip, family))
}

function goesBefore(one: Address, other: Address, nowMs: number): boolean {
  const isEjected = one.ejectedUntilMs > nowMs
  if (isEjected !== other.ejectedUntilMs > nowMs) return !isEjected
  return one.inFlight === other.inFlight ? one.lastTurn < other.lastTurn : one.inFlight < other.inFlight
}

/** One request: until an address has taken the connection nothing of it was sent, and it may go to another. */
class Attempts implements Dispatcher.DispatchHandler {
  readonly #balancer: LoadBalancer
  readonly #options: Dispatcher.DispatchOptions
  readonly #handler: Dispatcher.DispatchHandler
  readonly #tried: Address[] = []
  #isSent = false

  constructor(balancer: LoadBalancer, options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) {
    this.#balancer = balancer
    this.#options = options
    this.#handler = handler
  }

  /** False when the address has no room for another request at once, as of a Dispatcher. */
  sendTo(address: Address): boolean {
    this.#tried.push(address)
    address.inFlight++
    return address.pool.dispatch(this.#options, this)
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#isSent = true
    this.#handler.onRequestStart?.(controller, context)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: IncomingHttpHeaders,
    statusMessage?: string,
  ): void {
    this.#handler.onResponseStart?.(controller, statusCode, headers, statusMessage)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#handler.onResponseData?.(controller, chunk)
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.#address.inFlight--
    this.#handler.onResponseEnd?.(controller, trailers)
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#address.inFlight--
    if (!this.#isSent && isUnreachable(error)) {
      this.#balancer.eject(this.#address)
      const next = this.#balancer.choose(this.#tried)
      if (next) return void this.sendTo(next)
    }
    this.#handler.onResponseError?.(controller, error)
  }

  get #address(): Address {
    return this.#tried.at(-1) as Address
  }
}
