import { randomUUID } from 'node:crypto'
import { type Entry, encodeEntry, encodeValue, frozenJson } from './codec.ts'
import type { MemoryEntry, MemoryLayer } from './memory-layer.ts'
import type { RedisLayer, RedisRead } from './redis-layer.ts'
import type { ClaimStep, Turn } from './scripts.ts'
import { type Invalidations, isEvicted, isValid, type TagGenerations } from './tag-generations.ts'
import type { Answer, CacheEvent, Stored } from './types.ts'

export interface LayersOptions {
  memory: MemoryLayer
  redis: RedisLayer | undefined
  generations: TagGenerations
  /** The subscription during which invalidations are heard; see bus.ts. Constant when there is no Redis. */
  busSession(): number | undefined
  clock(): number
  memoryTtlMs: number
  redisTtlMs: number
  staleTtlMs: number
  maxRedisValueBytes: number
  /** Redis began a new record of invalidations, which lacks these. */
  onLost(generations: Record<string, string>): void
  onEvent(event: CacheEvent): void
}

/** What a look into both layers found. */
export interface Found {
  answer: Answer<unknown> | undefined
  /** The header of the value in Redis, '' when there is none of ours or Redis gave no answer. */
  header: string
  origin: Origin
  /** What became of the claim, when it was made with the look. */
  turn: Turn | undefined
}

interface Look {
  /** The copy in memory. */
  held: MemoryEntry | undefined
  claim?: ClaimStep | undefined
}

/** How things stood when a production began: what it may be stored under. */
export interface Origin extends Invalidations {
  /** The bus session in which an invalidation since then was heard. */
  session: number | undefined
}

/** A value made ready for both layers. */
export interface Sealed {
  entry: Entry
  json: string
  origin: Origin
}

/** Memory in front of Redis: which copy answers, and whether it is fresh, stale or invalidated. */
export class Layers {
  readonly #options: LayersOptions

  constructor(options: LayersOptions) {
    this.#options = options
  }

  /** A fresh copy in memory that no invalidation can have passed by: no round trip. */
  inMemory(key: string): Answer<unknown> | undefined {
    const held = this.#options.memory.get(key)
    if (!held || !this.#isFreshInMemory(held) || !this.#isVerified(held)) return undefined
    return { value: held.value, storedAtMs: held.storedAtMs, layer: 'memory', coalesced: false }
  }

  /**
   * Looks in memory and Redis; what Redis has enters memory. `claim` travels along, unless memory has a copy, which Redis may
   * say is current.
   */
  async find(key: string, tags: string[], claim?: ClaimStep): Promise<Found> {
    const { memory, redis, busSession, clock, redisTtlMs } = this.#options
    const held = memory.get(key)
    const session = busSession()
    const read = redis && (await this.#read(key, tags, { held, claim: held ? undefined : claim }))
    const origin = { ...this.#atStart(tags, read), session }
    const found: Found = { answer: undefined, header: read?.header ?? '', origin, turn: read?.turn }
    if (held && this.#isFreshInMemory(held) && this.#survivesInMemory(held, read)) {
      found.answer = { value: held.value, storedAtMs: held.storedAtMs, layer: 'memory', coalesced: false }
    } else if (read?.entry && this.#survivesInRedis(read.entry, read) && clock() - read.entry.storedAtMs < redisTtlMs) {
      found.answer = { value: read.entry.value, storedAtMs: read.entry.storedAtMs, layer: 'redis', coalesced: false }
    }
    return found
  }

  /** The youngest copy that is not older than `staleTtlMs`, fresh or not. */
  async stale(key: string): Promise<Stored<unknown> | undefined> {
    const { memory, clock, staleTtlMs } = this.#options
    const held = memory.get(key)
    const isKept = (entry: Entry) => clock() - entry.storedAtMs < staleTtlMs
    if (held && isKept(held) && this.#isVerified(held)) return stored(held)
    const read = await this.#read(key, [], { held })
    const copies: Entry[] = []
    if (held && isKept(held) && this.#survivesInMemory(held, read)) copies.push(held)
    if (read?.entry && isKept(read.entry) && this.#survivesInRedis(read.entry, read)) copies.push(read.entry)
    const youngest = copies.sort((a, b) => b.storedAtMs - a.storedAtMs)[0]
    return youngest && stored(youngest)
  }

  /** Throws a TypeError for a value that is not JSON. */
  seal(value: unknown, origin: Origin): Sealed {
    const json = encodeValue(value)
    const { incarnation, generations } = origin
    const storedAtMs = this.#options.clock()
    const entry = { id: randomUUID(), incarnation, generations, storedAtMs, value: frozenJson(json) }
    return { entry, json, origin }
  }

  /**
   * Into memory, unless one of its tags was invalidated since its production began. Returns the text for Redis, undefined when
   * it is not to be kept there: invalidated, too large, or no Redis.
   */
  remember(key: string, { entry, json, origin }: Sealed): string | undefined {
    const { generations, maxRedisValueBytes, redis, onEvent } = this.#options
    if (!generations.isCurrent(entry.generations)) return undefined
    this.#enter(key, entry, { bytes: json.length, session: origin.session })
    if (!redis) return undefined
    if (Buffer.byteLength(json) <= maxRedisValueBytes) return encodeEntry(entry, json)
    onEvent({ type: 'too_large', key })
    return undefined
  }

  /** For a value that was made outside: its production counts as beginning now. */
  async originNow(tags: string[]): Promise<Origin> {
    const session = this.#options.busSession()
    const { redis, generations } = this.#options
    const { changes } = generations
    const told = await redis?.invalidations(tags)
    if (told) this.#learn(told, changes)
    return { ...this.#atStart(tags, told), session }
  }

  #atStart(tags: string[], told: Invalidations | undefined): Invalidations {
    const { redis, generations } = this.#options
    return generations.atStart(tags, redis ? told : { incarnation: '', generations: {} })
  }

  #learn(told: Invalidations, changesBefore: number): void {
    const lost = this.#options.generations.learn(told, changesBefore)
    if (Object.keys(lost).length > 0) this.#options.onLost(lost)
  }

  /** Reads Redis, if there is one, and lets memory learn from what it says. */
  async #read(key: string, tags: string[], { held, claim }: Look): Promise<RedisRead | undefined> {
    const { redis, memory, busSession, generations } = this.#options
    if (!redis) return undefined
    const session = busSession() // before the question: an invalidation after it is heard in this very session
    const { changes } = generations
    const read = await redis.read(key, [...new Set([...tags, ...Object.keys(held?.generations ?? {})])], claim)
    if (!read) return undefined
    this.#learn(read, changes)
    if (held && this.#survivesInMemory(held, read)) this.#verify(held, { ...read, session })
    else if (held && memory.get(key) === held) memory.delete(key)
    const { entry } = read
    if (entry && this.#survivesInRedis(entry, read) && entry.storedAtMs >= (memory.get(key)?.storedAtMs ?? 0)) {
      if (!held || !this.#isFreshInMemory(held)) this.#enter(key, entry, { bytes: read.bytes, session })
    }
    return read
  }

  #verify(held: MemoryEntry, { incarnation, session }: { incarnation: string; session: number | undefined }): void {
    held.incarnation = incarnation
    held.verifiedIn = session
  }

  #enter(key: string, entry: Entry, { bytes, session }: { bytes: number; session: number | undefined }): void {
    this.#options.memory.set(key, { ...entry, enteredAtMs: this.#options.clock(), verifiedIn: session }, bytes)
  }

  #isFreshInMemory(entry: MemoryEntry): boolean {
    const nowMs = this.#options.clock()
    const { memoryTtlMs, redisTtlMs } = this.#options
    return nowMs - entry.enteredAtMs < memoryTtlMs && nowMs - entry.storedAtMs < redisTtlMs
  }

  #isVerified(entry: MemoryEntry): boolean {
    if (!isTagged(entry)) return true
    const session = this.#options.busSession()
    return session !== undefined && entry.verifiedIn === session
  }

  /** Not invalidated, by what this process heard and by what Redis says in the record that the entry was made under. */
  #survivesInRedis(entry: Entry, read: RedisRead): boolean {
    const isSameRecord = !isTagged(entry) || entry.incarnation === read.incarnation
    return isSameRecord && this.#isValid(entry, read)
  }

  /** As above; but memory outlives a restart of Redis, and a lost record says nothing of what was heard all along. */
  #survivesInMemory(entry: MemoryEntry, read: RedisRead | undefined): boolean {
    const isDoubtful = read && isEvicted(entry.incarnation, read.incarnation) && !this.#isVerified(entry)
    return !isDoubtful && this.#isValid(entry, read)
  }

  #isValid({ generations }: Entry, read: RedisRead | undefined): boolean {
    return this.#options.generations.isCurrent(generations) && isValid(generations, read?.generations ?? {})
  }
}

function isTagged({ generations }: Entry): boolean {
  return Object.keys(generations).length > 0
}

function stored({ value, storedAtMs }: Entry): Stored<unknown> {
  return { value, storedAtMs }
}
