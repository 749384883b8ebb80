import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'

export type ServiceName = 'text-generation' | 'vision' | 'image-generation'

/** One process of a service. */
export interface Instance {
  readonly url: string
  /** Requests that were sent there and are not over. */
  inFlight: number
  /** It takes no connections: left out until its `/ready` says yes, or `refusedForMs` have passed. */
  leaveOut(): void
}

/** One service and where its instances are. */
export interface Upstream {
  readonly name: ServiceName
  readonly urls: readonly string[]
  /** Grows when an instance comes or goes; 0 while none is watched. */
  readonly changes: number
  /**
   * The least busy instance that takes requests, in turn among equals; when none is known to take any, one of the others.
   * Never one of `tried`: undefined when all were.
   */
  next(tried: readonly Instance[]): Instance | undefined
}

export interface UpstreamUrls {
  TEXT_GENERATION_URL: string
  VISION_URL: string
  IMAGE_GENERATION_URL: string
}

export interface Upstreams {
  readonly all: Record<ServiceName, Upstream>
  /** Asks every instance's `/ready`, and again and again until the signal aborts; resolves when each was asked once. */
  watch(intervalMs: number, signal: AbortSignal): Promise<void>
}

/** Who refused is tried again after this long. Where `/ready` is watched, its word comes sooner and counts. */
const refusedForMs = 5_000

/** `clock` is in milliseconds and only runs forward. */
export function createUpstreams(config: UpstreamUrls, clock: () => number = () => performance.now()): Upstreams {
  const balanced = {
    'text-generation': new BalancedUpstream('text-generation', config.TEXT_GENERATION_URL, clock),
    vision: new BalancedUpstream('vision', config.VISION_URL, clock),
    'image-generation': new BalancedUpstream('image-generation', config.IMAGE_GENERATION_URL, clock),
  }
  return {
    all: balanced,
    async watch(intervalMs, signal) {
      const checking = { intervalMs, signal }
      await Promise.all(Object.values(balanced).map((upstream) => upstream.check(checking)))
      for (const upstream of Object.values(balanced)) upstream.keepChecking(checking)
    },
  }
}

interface Checking {
  intervalMs: number
  signal: AbortSignal
}

class BalancedUpstream implements Upstream {
  readonly name: ServiceName
  readonly urls: readonly string[]
  readonly #instances: WatchedInstance[]
  #turn = 0

  constructor(name: ServiceName, commaSeparated: string, clock: () => number) {
    this.name = name
    this.urls = commaSeparated.split(',').map((url) => url.trim().replace(/\/$/, ''))
    this.#instances = this.urls.map((url) => new WatchedInstance(url, clock))
  }

  get changes(): number {
    return this.#instances.reduce((sum, { changes }) => sum + changes, 0)
  }

  next(tried: readonly Instance[]): Instance | undefined {
    let best: WatchedInstance | undefined
    for (const instance of this.#instances) {
      if (!tried.includes(instance) && (best === undefined || instance.goesBefore(best))) best = instance
    }
    if (best) best.lastTurn = ++this.#turn
    return best
  }

  async check(checking: Checking): Promise<void> {
    await Promise.all(this.#instances.map((instance) => instance.check(checking)))
  }

  keepChecking(checking: Checking): void {
    for (const instance of this.#instances) void instance.keepChecking(checking)
  }
}

class WatchedInstance implements Instance {
  readonly url: string
  inFlight = 0
  lastTurn = 0
  changes = 0
  #wasReady: boolean | undefined
  readonly #clock: () => number
  #leftOutUntilMs = Number.NEGATIVE_INFINITY

  constructor(url: string, clock: () => number) {
    this.url = url
    this.#clock = clock
  }

  leaveOut(): void {
    this.#leftOutUntilMs = Math.max(this.#leftOutUntilMs, this.#clock() + refusedForMs)
  }

  goesBefore(other: WatchedInstance): boolean {
    if (this.#takesRequests !== other.#takesRequests) return this.#takesRequests
    return this.inFlight === other.inFlight ? this.lastTurn < other.lastTurn : this.inFlight < other.inFlight
  }

  get #takesRequests(): boolean {
    return this.#leftOutUntilMs <= this.#clock()
  }

  async check({ intervalMs, signal }: Checking): Promise<void> {
    const timeout = AbortSignal.any([signal, AbortSignal.timeout(2 * intervalMs)])
    const isReady = await answersWith200(`${this.url}/ready`, timeout)
    if (isReady !== this.#wasReady) this.changes++
    this.#wasReady = isReady
    this.#leftOutUntilMs = isReady ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
  }

  /** An instance that is starting, draining or down is left out within one interval, and taken back as soon. */
  async keepChecking(checking: Checking): Promise<void> {
    while (!checking.signal.aborted) {
      await sleep(checking.intervalMs, undefined, { signal: checking.signal, ref: false }).catch(() => {}) // aborted
      await this.check(checking)
    }
  }
}

/** Refused, reset, late and any other status are all a no: that is what is being asked. */
export async function answersWith200(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const { statusCode, body } = await request(url, { signal })
    await body.dump()
    return statusCode === 200
  } catch {
    return false
  }
}
