import { setTimeout as sleep } from 'node:timers/promises'
import { answersWith200 } from './probe.ts'

export type ServiceName = 'text-generation' | 'vision' | 'image-generation'

/** One service and where its instances are. */
export interface Upstream {
  readonly name: ServiceName
  readonly urls: readonly string[]
  /** The next instance in turn, of those that take requests; of all when none is known to. */
  next(): string
  /** Leaves an instance out until it says that it is ready again. */
  leaveOut(url: string): void
  /** Instances that take requests, as far as is known. */
  readonly live: number
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

export function createUpstreams(config: UpstreamUrls): Upstreams {
  const balanced = {
    'text-generation': new BalancedUpstream('text-generation', config.TEXT_GENERATION_URL),
    vision: new BalancedUpstream('vision', config.VISION_URL),
    'image-generation': new BalancedUpstream('image-generation', config.IMAGE_GENERATION_URL),
  }
  return {
    all: balanced,
    async watch(intervalMs, signal) {
      const instances = Object.values(balanced).flatMap((upstream) => upstream.urls.map((url) => ({ upstream, url })))
      await Promise.all(instances.map(({ upstream, url }) => upstream.check(url, { intervalMs, signal })))
      for (const { upstream, url } of instances) void upstream.keepChecking(url, { intervalMs, signal })
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
  readonly #leftOut = new Set<string>()
  #turn = 0

  constructor(name: ServiceName, commaSeparated: string) {
    this.name = name
    this.urls = commaSeparated.split(',').map((url) => url.trim().replace(/\/$/, ''))
  }

  get live(): number {
    return this.urls.length - this.#leftOut.size
  }

  next(): string {
    const usable = this.live > 0 ? this.urls.filter((url) => !this.#leftOut.has(url)) : this.urls
    return usable[this.#turn++ % usable.length] as string
  }

  leaveOut(url: string): void {
    this.#leftOut.add(url)
  }

  async check(url: string, { intervalMs, signal }: Checking): Promise<void> {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(2 * intervalMs)])
    if (await answersWith200(`${url}/ready`, patience)) this.#leftOut.delete(url)
    else this.#leftOut.add(url)
  }

  /** An instance that is starting, draining or down is left out within one interval, and taken back as soon. */
  async keepChecking(url: string, checking: Checking): Promise<void> {
    while (!checking.signal.aborted) {
      await sleep(checking.intervalMs, undefined, { signal: checking.signal, ref: false }).catch(() => {}) // aborted
      await this.check(url, checking)
    }
  }
}
