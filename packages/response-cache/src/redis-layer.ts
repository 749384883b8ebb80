import { randomUUID } from 'node:crypto'
import { CircuitBreaker, isWrongType, type RedisConnection, type RedisFault } from '@knowalledge/redis-kit'
import { decodeEntry, type Entry, headerOf } from './codec.ts'
import type { AnswerKeys, ClaimStep, Scripts, Turn } from './scripts.ts'
import type { Invalidations } from './tag-generations.ts'
import type { CacheEvent } from './types.ts'

/** With the generation of each tag that has one: those asked for and the entry's own. */
export interface RedisRead extends Invalidations {
  /** What became of the claim that travelled along. */
  turn: Turn | undefined
  entry: Entry | undefined
  /** The header of what lies there, '' when nothing of ours does; see codec.ts. */
  header: string
  /** The length of the raw value. */
  bytes: number
}

export interface RedisLayerOptions {
  redis: RedisConnection
  /** Timeout of Redis in milliseconds. */
  timeoutMs: number
  onFault(fault: RedisFault): void
  scripts: Scripts
  prefix: string
  valueMs: number
  /** How long the record of invalidations is kept after the last value was stored: longer than any value. */
  tagsMs: number
  maxLargeValues: number
  maxLargeBytes: number
  onEvent(event: CacheEvent): void
}

/** A value that takes as much room as hundreds of ordinary ones: their number and bytes are bounded. */
const LARGE_BYTES = 64 * 1024
/** The record of invalidations is kept an hour longer than any value, so this need not be exact. */
const KEEP_TAGS_EVERY_MS = 60_000
/** Of invalidated tags. */
const MAX_TAGS = 10_000
/** The field of the record of invalidations that holds its name; no tag is empty. */
const NAME = ''

/** The values and tag generations in Redis. Every answer may be undefined: Redis gave none. */
export class RedisLayer {
  readonly #options: RedisLayerOptions
  readonly #breaker: CircuitBreaker
  #tagsKeptAtMs = Number.NEGATIVE_INFINITY

  constructor(options: RedisLayerOptions) {
    this.#options = options
    this.#breaker = new CircuitBreaker(options)
  }

  /** The answer of Redis, or undefined when it gives none in time, or a key holds a value of another type. */
  async request<T>(operation: () => Promise<T>, kind?: { isWrite: boolean }): Promise<T | undefined> {
    try {
      return await this.#breaker.run(operation, kind)
    } catch {
      return undefined // the breaker has announced what is a fault
    }
  }

  close(): void {
    this.#breaker.close()
  }

  keysOf(key: string): AnswerKeys {
    const { prefix } = this.#options
    return {
      value: `${prefix}:value:{${key}}`,
      lease: `${prefix}:lease:{${key}}`,
      waiters: `${prefix}:waiters:{${key}}`,
      outcome: `${prefix}:outcome:{${key}}`,
    }
  }

  /** One record for all tags: losing it is noticed, where the loss of one tag among many would not be. */
  get #tagsKey(): string {
    return `${this.#options.prefix}:tags`
  }

  /**
   * One round trip when `tags` names all of the entry's tags, a second one for the others. With `claim` the value comes with
   * the answer to it, or the lease when there is none of ours.
   */
  read(key: string, tags: string[], claim?: ClaimStep): Promise<RedisRead | undefined> {
    return this.request(async () => {
      const { scripts } = this.#options
      const [turn, got, asked] = await Promise.all([
        claim && scripts.claim(this.keysOf(key), claim),
        claim ? null : this.#get(key),
        this.#invalidations(tags),
      ])
      const raw = turn?.kind === 'changed' ? (turn.value ?? (await this.#get(key))) : got
      const entry = raw === null ? undefined : decodeEntry(raw)
      const isForeign = turn?.kind === 'lead' && turn.isForeign
      if ((raw !== null && !entry) || isForeign) this.#options.onEvent({ type: 'corrupt', key })
      const others = Object.keys(entry?.generations ?? {}).filter((tag) => !tags.includes(tag))
      const told = others.length === 0 ? asked : await this.#invalidations([...tags, ...others])
      return { entry, header: headerOf(raw), bytes: raw?.length ?? 0, turn, ...told }
    })
  }

  #get(key: string): Promise<string | null> {
    return unlessWrongType(this.#options.redis.get(this.keysOf(key).value))
  }

  invalidations(tags: string[]): Promise<Invalidations | undefined> {
    return this.request(() => this.#invalidations(tags))
  }

  /** Rejects when Redis refuses or cannot be reached. */
  async invalidate(tag: string, step: { generation: string; channel: string; message: string }): Promise<void> {
    const { scripts, tagsMs } = this.#options
    await scripts.invalidate(this.#tagsKey, { tag, ...step, keptMs: tagsMs, maxTags: MAX_TAGS })
  }

  async write(key: string, text: string): Promise<void> {
    const { redis, valueMs } = this.#options
    await this.request(() => redis.set(this.keysOf(key).value, text, 'PX', valueMs), { isWrite: true })
    await this.stored(key, text)
  }

  /** After a value was stored: the record of invalidations outlives it, and for a large one the oldest have to go. */
  async stored(key: string, text: string): Promise<void> {
    const isKept = performance.now() - this.#tagsKeptAtMs < KEEP_TAGS_EVERY_MS
    if (isKept && text.length <= LARGE_BYTES) return
    await this.request(async () => {
      await Promise.all([isKept ? undefined : this.#keepTags(), text.length > LARGE_BYTES && this.#admit(key, text)])
    })
  }

  async #keepTags(): Promise<void> {
    await this.#options.redis.pexpire(this.#tagsKey, this.#options.tagsMs)
    this.#tagsKeptAtMs = performance.now()
  }

  async #admit(key: string, { length: bytes }: string): Promise<void> {
    const {
      redis,
      scripts,
      prefix,
      valueMs: keptMs,
      maxLargeValues: maxValues,
      maxLargeBytes: maxBytes,
    } = this.#options
    const dropped = await scripts.admit(`${prefix}:large`, { key, bytes, maxValues, maxBytes, keptMs })
    await Promise.all(dropped.map((old) => redis.unlink(this.keysOf(old).value)))
  }

  async #invalidations(tags: string[]): Promise<Invalidations> {
    const { redis, scripts, tagsMs } = this.#options
    const fields = await unlessWrongType(redis.hmget(this.#tagsKey, NAME, ...tags))
    const [name, ...generations] = fields ?? []
    const found = tags.map((tag, at) => [tag, generations[at]] as const).filter(([, generation]) => generation != null)
    const step = { id: randomUUID(), keptMs: tagsMs }
    return {
      incarnation: name ?? (await scripts.incarnation(this.#tagsKey, step)),
      generations: Object.fromEntries(found) as Record<string, string>,
    }
  }
}

/** A value of another type under our key counts as absent. */
async function unlessWrongType<T>(reply: Promise<T>): Promise<T | null> {
  try {
    return await reply
  } catch (error) {
    if (isWrongType(error)) return null
    throw error
  }
}
