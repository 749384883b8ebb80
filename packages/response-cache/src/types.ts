import type { RedisConnection, RedisFault } from '@knowalledge/redis-kit'

export type CacheLayer = 'memory' | 'redis'

export interface ResponseCacheOptions {
  /** Second layer, shared by the fleet. Without it the cache is memory only. */
  redis?: RedisConnection | undefined
  /** Goes before every key in Redis. Default `cache`. */
  prefix?: string
  /** Fresh in memory. Default 1 h. */
  memoryTtlMs?: number
  /** Fresh in Redis. Default 2 h. */
  redisTtlMs?: number
  /** Kept as a stale fallback copy. Default 24 h. */
  staleTtlMs?: number
  /** Bounds of the memory layer. Defaults 10,000 entries and 64 MiB. */
  maxItems?: number
  maxBytes?: number
  /** A value larger than this is kept in memory only. Default 5 MiB. */
  maxRedisValueBytes?: number
  /** Milliseconds since the epoch. Default Date.now. */
  clock?: () => number
  /** Values over 64 KiB kept in Redis: at most this many, of this many bytes together. Default 100 and 128 MiB. */
  maxLargeValues?: number
  maxLargeBytes?: number
  /** Notified once per change of state, for the log. */
  onFault?: (fault: RedisFault) => void
  /** Timeout of Redis. Default 100 ms. */
  redisTimeoutMs?: number
  /** How an error travels, as JSON, to those who wait in other processes. Default: an Error's `name` and `message`. */
  encodeError?: (error: unknown) => unknown
  decodeError?: (encoded: unknown) => unknown
  /** Told what a caller cannot see in its answers, for counters. Must not throw. */
  onEvent?: (event: CacheEvent) => void
}

/**
 * `corrupt`: a value in Redis was not ours and counted as absent. `too_large`: a value stayed out of Redis. `taken_over`: this
 * process leads for one that vanished. `lease_lost`: another process leads although ours was still at work. `cancelled`: a
 * production nobody waited for was aborted.
 */
export interface CacheEvent {
  type: 'corrupt' | 'too_large' | 'taken_over' | 'lease_lost' | 'cancelled'
  key: string
}

export interface Stored<T> {
  /** JSON, shared by every caller and therefore frozen: copy it to change it. */
  value: T
  /** Milliseconds since the epoch. */
  storedAtMs: number
}

export interface Answer<T> extends Stored<T> {
  /** Where it came from: a layer, or `miss` when it was produced for this claim. */
  layer: CacheLayer | 'miss'
  /** True when another caller's production answered this one. */
  coalesced: boolean
}

/** What a producer hands back; `store: false` answers those who wait but is kept nowhere (a failed quality check). */
export interface Produced<T> {
  value: T
  store: boolean
}

export interface ClaimOptions<T> {
  /**
   * Makes the answer. Runs at most once at a time for a key, in the whole fleet. `signal` aborts when nobody waits
   * for the answer any more, not when one caller leaves. What it throws reaches everyone who waits. While it waits to begin
   * it may `tell` so: others learn it, and a leader that dies meanwhile is replaced within 35 s. `tell('')`: it begins.
   */
  produce(signal: AbortSignal, tell: (progress: string) => void): Promise<Produced<T>>
  /** What another caller's `produce` has told, each time that it is new; from another process up to 10 s later. */
  onProgress?(progress: string): void
  /** Of this caller alone: aborting rejects its `result` and nothing else. */
  signal?: AbortSignal | undefined
  /** For invalidation, such as `operation:create_subtopics` and `topic:<normalised topic>`. */
  tags?: string[]
}

export interface Claim<T> {
  /** `hit`: a fresh copy was found. `lead`: this caller's `produce` is running. `wait`: someone else's is. */
  state: 'hit' | 'lead' | 'wait'
  result: Promise<Answer<T>>
}

export interface ResponseCache {
  /** A fresh copy in this process's memory, at once: for a caller that needs no more than that to answer. */
  peek<T>(key: string): Answer<T> | undefined
  /** Finds a fresh answer, joins the call that is already making it, or leads. Never rejects for a fault of Redis. */
  claim<T>(key: string, options: ClaimOptions<T>): Promise<Claim<T>>
  /** A copy of any age up to `staleTtlMs`, from memory or Redis. Never rejects for a fault of Redis. */
  stale<T>(key: string): Promise<Stored<T> | undefined>
  /** A fresh copy without producing one. */
  get<T>(key: string): Promise<Answer<T> | undefined>
  set<T>(key: string, value: T, options?: { tags?: string[] }): Promise<void>
  /**
   * Drops every entry with any of the tags, in Redis and in every instance's memory. Rejects when Redis could not be told: then
   * only this process's memory is clear, and the others are told by itself when Redis is back.
   */
  invalidateTags(tags: string[]): Promise<void>
  /** Entries held now, for the gauge; Redis's figure is not counted by scanning. */
  counts(): { memory: number; memoryBytes: number }
  close(): Promise<void>
}
