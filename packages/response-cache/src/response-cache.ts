import { Bus } from './bus.ts'
import { Fleet } from './fleet.ts'
import { Flight, type FlightContext } from './flight.ts'
import { Layers } from './layers.ts'
import { MemoryLayer } from './memory-layer.ts'
import { RedisLayer } from './redis-layer.ts'
import { defineScripts } from './scripts.ts'
import { TagGenerations } from './tag-generations.ts'
import type { Answer, Claim, ClaimOptions, ResponseCache, ResponseCacheOptions, Stored } from './types.ts'

const HOUR_MS = 3_600_000
const MIB = 1024 ** 2

/** A cache in memory and, given a connection, in Redis. The connection stays the caller's; `close()` leaves it open. */
export function createResponseCache(options: ResponseCacheOptions = {}): ResponseCache {
  return new LayeredCache(options)
}

class LayeredCache implements ResponseCache {
  readonly #memory: MemoryLayer
  readonly #generations = new TagGenerations()
  readonly #layers: Layers
  readonly #remote: Remote | undefined
  readonly #context: FlightContext
  /** The flights a claim may join, by key. */
  readonly #flights = new Map<string, Flight>()
  /** Those and the ones that fly on for other processes only. */
  readonly #airborne = new Set<Flight>()
  /** Invalidations that Redis has not taken yet. */
  readonly #unspread = new Map<string, string>()
  #isClosed = false

  constructor(options: ResponseCacheOptions) {
    const staleTtlMs = options.staleTtlMs ?? 24 * HOUR_MS
    const onEvent = options.onEvent ?? (() => {})
    this.#memory = new MemoryLayer({ maxItems: options.maxItems ?? 10_000, maxBytes: options.maxBytes ?? 64 * MIB })
    const remote = connect(options, {
      staleTtlMs,
      onRecovered: () => void this.#spread(),
      invalidated: (generations) => this.#hear(generations),
      concluded: (key, token) => this.#flights.get(key)?.concluded(token),
    })
    this.#remote = remote
    this.#layers = new Layers({
      memory: this.#memory,
      redis: remote?.layer,
      generations: this.#generations,
      busSession: () => (remote ? remote.bus.session : 0),
      clock: options.clock ?? Date.now,
      memoryTtlMs: options.memoryTtlMs ?? HOUR_MS,
      redisTtlMs: options.redisTtlMs ?? 2 * HOUR_MS,
      staleTtlMs,
      maxRedisValueBytes: Math.min(options.maxRedisValueBytes ?? 5 * MIB, largeBytes(options)),
      onLost: (generations) => void this.#tell(generations),
      onEvent,
    })
    this.#context = {
      layers: this.#layers,
      fleet: remote?.fleet,
      encodeError: options.encodeError ?? encodeError,
      decodeError: options.decodeError ?? decodeError,
      onEvent,
      onLeft: (flight) => {
        if (this.#flights.get(flight.key) === flight) this.#flights.delete(flight.key)
      },
    }
  }

  peek<T>(key: string): Answer<T> | undefined {
    this.#assertOpen()
    // The caller says what lies under its keys: T is its word, not ours.
    return this.#layers.inMemory(key) as Answer<T> | undefined
  }

  async claim<T>(key: string, options: ClaimOptions<T>): Promise<Claim<T>> {
    this.#assertOpen()
    if (options.signal?.aborted) return { state: 'wait', result: rejected(options.signal.reason) }
    const held = this.peek<T>(key)
    if (held) return { state: 'hit', result: Promise.resolve(held) }
    const joined = this.#flights.get(key)
    const flight = joined ?? new Flight(key, this.#context)
    const result = flight.join(options) as Promise<Answer<T>>
    if (!joined) this.#start(flight, options.tags ?? [])
    const begun = await flight.begun
    return { state: joined && begun === 'lead' ? 'wait' : begun, result }
  }

  async stale<T>(key: string): Promise<Stored<T> | undefined> {
    this.#assertOpen()
    return (await this.#layers.stale(key)) as Stored<T> | undefined
  }

  async get<T>(key: string): Promise<Answer<T> | undefined> {
    this.#assertOpen()
    return (this.#layers.inMemory(key) ?? (await this.#layers.find(key, [])).answer) as Answer<T> | undefined
  }

  async set<T>(key: string, value: T, { tags = [] }: { tags?: string[] } = {}): Promise<void> {
    this.#assertOpen()
    const sealed = this.#layers.seal(value, await this.#layers.originNow(tags))
    const text = this.#layers.remember(key, sealed)
    if (text !== undefined) await this.#remote?.layer.write(key, text)
  }

  async invalidateTags(tags: string[]): Promise<void> {
    this.#assertOpen()
    const renewed = this.#generations.renew(tags)
    this.#hear(renewed)
    if (!this.#remote) return
    await this.#tell(renewed)
    if (!Object.entries(renewed).some(([tag, generation]) => this.#unspread.get(tag) === generation)) return
    throw new Error('Redis is not available: other instances will be told of the invalidation when it is back')
  }

  counts(): { memory: number; memoryBytes: number } {
    return this.#memory.counts()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const reason = new Error('The response cache was closed')
    await Promise.all([...this.#airborne].map((flight) => flight.close(reason)))
    this.#remote?.layer.close()
    this.#remote?.bus.close()
  }

  #start(flight: Flight, tags: string[]): void {
    this.#flights.set(flight.key, flight)
    this.#airborne.add(flight)
    void flight.fly(tags).finally(() => this.#airborne.delete(flight))
  }

  #hear(generations: Record<string, string>): void {
    if (!this.#generations.hear(generations)) return
    this.#memory.deleteWhere((entry) => !this.#generations.isCurrent(entry.generations))
  }

  async #tell(generations: Record<string, string>): Promise<void> {
    for (const [tag, generation] of Object.entries(generations)) this.#unspread.set(tag, generation)
    await this.#spread()
  }

  async #spread(): Promise<void> {
    const tell = async ([tag, generation]: [string, string]) => {
      const isTold = await this.#remote?.fleet.invalidate(tag, generation)
      if (isTold && this.#unspread.get(tag) === generation) this.#unspread.delete(tag)
    }
    await Promise.all([...this.#unspread].map(tell))
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new Error('The response cache was closed')
  }
}

interface Remote {
  layer: RedisLayer
  fleet: Fleet
  bus: Bus
}

interface RemoteListener {
  staleTtlMs: number
  onRecovered(): void
  invalidated(generations: Record<string, string>): void
  concluded(key: string, token: string): void
}

/** Everything that needs the connection; undefined without one. */
function connect(options: ResponseCacheOptions, listener: RemoteListener): Remote | undefined {
  const { redis, prefix = 'cache', redisTimeoutMs = 100, onFault = () => {}, onEvent = () => {} } = options
  if (!redis) return undefined
  const channel = `${prefix}:bus`
  const valueMs = listener.staleTtlMs
  const scripts = defineScripts(redis)
  const layer = new RedisLayer({
    redis,
    timeoutMs: redisTimeoutMs,
    scripts,
    prefix,
    valueMs,
    tagsMs: valueMs + HOUR_MS,
    maxLargeValues: options.maxLargeValues ?? 100,
    maxLargeBytes: largeBytes(options),
    onEvent,
    onFault(fault) {
      onFault(fault)
      if (fault.state === 'recovered') listener.onRecovered()
    },
  })
  const fleet = new Fleet({ scripts, layer, channel, valueMs })
  return { layer, fleet, bus: new Bus(redis, channel, listener) }
}

function largeBytes({ maxLargeBytes = 128 * MIB }: ResponseCacheOptions): number {
  return maxLargeBytes
}

function rejected(reason: unknown): Promise<never> {
  const result = Promise.reject(reason)
  result.catch(() => {}) // a caller may drop its claim
  return result
}

function encodeError(error: unknown): unknown {
  return error instanceof Error
    ? { name: error.name, message: error.message }
    : { name: 'Error', message: String(error) }
}

function decodeError(encoded: unknown): unknown {
  const { name, message } = encoded as { name: string; message: string }
  return Object.assign(new Error(message), { name })
}
