import { CircuitBreaker, isWrongType, type RedisConnection, type RedisFault } from '@knowalledge/redis-kit'
import { decodeEntry, type Entry, headerOf } from './codec.ts'
import type { AnswerKeys } from './scripts.ts'
import type { CacheEvent } from './types.ts'

export interface RedisRead {
  entry: Entry | undefined
  /** The header of what lies there, '' when nothing of ours does; see codec.ts. */
  header: string
  /** The length of the raw value. */
  bytes: number
  /** The generation of each tag that has one: those asked for and the entry's own. */
  generations: Record<string, string>
}

export interface RedisLayerOptions {
  redis: RedisConnection
  /** Timeout of Redis in milliseconds. */
  timeoutMs: number
  onFault(fault: RedisFault): void
  prefix: string
  valueMs: number
  onEvent(event: CacheEvent): void
}

/** The values and tag generations in Redis. Every answer may be undefined: Redis gave none. */
export class RedisLayer {
  readonly #options: RedisLayerOptions
  readonly #breaker: CircuitBreaker

  constructor(options: RedisLayerOptions) {
    this.#options = options
    this.#breaker = new CircuitBreaker(options)
  }

  /** The answer of Redis, or undefined when it gives none in time, or a key holds a value of another type. */
  async request<T>(operation: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#breaker.run(operation)
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

  generationKeyOf(tag: string): string {
    return `${this.#options.prefix}:tag:{${tag}}`
  }

  /** One round trip when `tags` names all of the entry's tags, a second one for the others. */
  read(key: string, tags: string[]): Promise<RedisRead | undefined> {
    return this.request(async () => {
      const [raw, asked] = await Promise.all([this.#text(this.keysOf(key).value), this.#generations(tags)])
      const entry = raw === null ? undefined : decodeEntry(raw)
      if (raw !== null && !entry) this.#options.onEvent({ type: 'corrupt', key })
      const others = Object.keys(entry?.generations ?? {}).filter((tag) => !tags.includes(tag))
      const generations = { ...asked, ...(await this.#generations(others)) }
      return { entry, header: headerOf(raw), bytes: raw?.length ?? 0, generations }
    })
  }

  generations(tags: string[]): Promise<Record<string, string> | undefined> {
    return this.request(() => this.#generations(tags))
  }

  async write(key: string, text: string): Promise<void> {
    const { redis, valueMs } = this.#options
    await this.request(() => redis.set(this.keysOf(key).value, text, 'PX', valueMs))
  }

  async #generations(tags: string[]): Promise<Record<string, string>> {
    const found: Record<string, string> = {}
    const ask = async (tag: string) => {
      const generation = await this.#text(this.generationKeyOf(tag))
      if (generation !== null) found[tag] = generation
    }
    await Promise.all(tags.map(ask)) // not MGET: in a cluster the tags live on different nodes
    return found
  }

  /** A value of another type under our key counts as absent. */
  async #text(key: string): Promise<string | null> {
    try {
      return await this.#options.redis.get(key)
    } catch (error) {
      if (isWrongType(error)) return null
      throw error
    }
  }
}
