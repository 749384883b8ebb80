import { randomUUID } from 'node:crypto'
import { CircuitBreaker, isWrongType, type RedisConnection, type RedisFault } from '@knowalledge/redis-kit'
import { decodeEntry, type Entry, headerOf } from './codec.ts'
import type { AnswerKeys, Scripts } from './scripts.ts'
import type { Invalidations } from './tag-generations.ts'
import type { CacheEvent } from './types.ts'

/** With the generation of each tag that has one: those asked for and the entry's own. */
export interface RedisRead extends Invalidations {
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
/** Of invalidated tags. */
const MAX_TAGS = 10_000
/** The field of the record of invalidations that holds its name; no tag is empty. */
const NAME = ''

/** The values and tag generations in Redis. Every answer may be undefined: Redis gave none. */
export class RedisLayer {
  readonly #options: RedisLayerOptions
  readonly #breaker: CircuitBreaker

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

  /** One round trip when `tags` names all of the entry's tags, a second one for the others. */
  read(key: string, tags: string[]): Promise<RedisRead | undefined> {
    return this.request(async () => {
      const [raw, asked] = await Promise.all([
        unlessWrongType(this.#options.redis.get(this.keysOf(key).value)),
        this.#invalidations(tags),
      ])
      const entry = raw === null ? undefined : decodeEntry(raw)
      if (raw !== null && !entry) this.#options.onEvent({ type: 'corrupt', key })
      const others = Object.keys(entry?.generations ?? {}).filter((tag) => !tags.includes(tag))
      const told = others.length === 0 ? asked : await this.#invalidations([...tags, ...others])
      return { entry, header: headerOf(raw), bytes: raw?.length ?? 0, ...told }
    })
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
    const { redis, scripts, prefix, valueMs: keptMs, tagsMs, maxLargeValues, maxLargeBytes } = this.#options
    await this.request(async () => {
      const kept = redis.pexpire(this.#tagsKey, tagsMs)
      const step = { key, bytes: text.length, maxValues: maxLargeValues, maxBytes: maxLargeBytes, keptMs }
      const dropped = text.length <= LARGE_BYTES ? [] : await scripts.admit(`${prefix}:large`, step)
      await Promise.all([kept, ...dropped.map((old) => redis.unlink(this.keysOf(old).value))])
    })
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
