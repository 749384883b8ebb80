import { readFileSync } from 'node:fs'
import type { QuotaLimits } from '@knowalledge/quota-client'
import type { RedisConnection } from '@knowalledge/redis-kit'
import {
  type Amount,
  type BudgetClient,
  type BudgetSettings,
  bucketsPerWindow,
  MemoryBudget,
  type Take,
} from './memory-budget.ts'

export type { Amount, BudgetClient } from './memory-budget.ts'

export type BudgetVerdict =
  /** `giveBack` is for calls of the amount that never reached Gemini; it never rejects. */
  | { granted: true; giveBack(part: Amount): Promise<void> }
  /** Enough when nobody else asks meanwhile. */
  | { granted: false; retryAfterMs: number }

/**
 * Divides the quota among clients. While others have asked within the window, a client may use half of what they leave
 * free of each limit, and the anonymous clients of one address three quarters. On any day a client may use a fixed share.
 * The first request in a window passes, as the last of what is free would be out of everybody's reach.
 */
export interface ClientBudget {
  /** `isInLine`: clients take turns in line, so only the share of the day applies. Never rejects. */
  take(client: BudgetClient, amount: Amount, isInLine?: boolean): Promise<BudgetVerdict>
}

export interface ClientBudgetOptions {
  redis?: RedisConnection | undefined
  pool: string
  limits: QuotaLimits
  windowMs: number
  dayTimeZone: string
  /** Of each limit of a day, for one client: 0 < share ≤ 1. */
  sharePerDay: number
  /** Notified once per change: without Redis each process counts for itself. */
  onFault?: (fault: { state: 'degraded' | 'recovered'; cause?: unknown }) => void
  /** Milliseconds since the epoch. Default Date.now. */
  clock?: () => number
}

export function createClientBudget(options: ClientBudgetOptions): ClientBudget {
  const { redis, pool, limits, windowMs, sharePerDay, onFault = () => {}, clock = Date.now } = options
  const settings = { limits, sharePerDay, bucketMs: windowMs / bucketsPerWindow }
  const memory = new MemoryBudget(settings)
  const shared = redis && new RedisBudget(redis, { pool, settings })
  const endOfDay = dayEnds(options.dayTimeZone)
  let isDegraded = false
  const inOrder = async <T>(inRedis: () => Promise<T>, here: () => T): Promise<T> => {
    if (shared === undefined) return here()
    try {
      const result = await inRedis()
      if (isDegraded) onFault({ state: 'recovered' })
      isDegraded = false
      return result
    } catch (cause) {
      if (!isDegraded) onFault({ state: 'degraded', cause })
      isDegraded = true
      return here()
    }
  }
  return {
    async take(client, amount, isInLine = false) {
      const nowMs = clock()
      const take: Take = { client, amount, isInLine, nowMs, dayEndMs: endOfDay(nowMs) }
      const retryAfterMs = await inOrder(
        async () => (await shared?.take(take)) ?? 0,
        () => memory.take(take),
      )
      if (retryAfterMs > 0) return { granted: false, retryAfterMs }
      const giveBack = async ({ requests, tokens }: Amount) => {
        const back = { ...take, amount: { requests: -requests, tokens: -tokens } }
        await inOrder(
          async () => void (await shared?.take(back)),
          () => memory.giveBack(back),
        )
      }
      return { granted: true, giveBack }
    },
  }
}

/** When the day of a time zone ends that holds an instant: the first one with another date. Milliseconds since the epoch. */
function dayEnds(timeZone: string): (atMs: number) => number {
  const format = new Intl.DateTimeFormat('en-CA', { timeZone, dateStyle: 'short' })
  let [startMs, endMs] = [0, 0]
  return (atMs) => {
    if (atMs >= startMs && atMs < endMs) return endMs
    startMs = Math.floor(atMs)
    const date = format.format(startMs)
    let same = startMs
    endMs = startMs + 26 * 3_600_000 // a day has at most 25 hours
    while (endMs - same > 1) {
      const middle = Math.floor((same + endMs) / 2)
      if (format.format(middle) === date) same = middle
      else endMs = middle
    }
    return endMs
  }
}

const script = readFileSync(new URL('../lua/client-budget.lua', import.meta.url), 'utf8')

type Command = (keys: number, ...keysThenTerms: (string | number)[]) => Promise<[taken: number, waitMs: number]>

class RedisBudget {
  readonly #command: Command
  readonly #prefix: string
  readonly #settings: BudgetSettings

  constructor(redis: RedisConnection, { pool, settings }: { pool: string; settings: BudgetSettings }) {
    redis.defineCommand('takeFromBudget', { lua: script })
    // ioredis adds the command at run time; its types cannot know it.
    this.#command = (redis as unknown as { takeFromBudget: Command }).takeFromBudget.bind(redis)
    this.#prefix = `{budget:${pool}}:`
    this.#settings = settings
  }

  /** Milliseconds to wait; 0 when it was taken. A negative amount is given back. */
  async take({ client, amount, isInLine, nowMs, dayEndMs }: Take): Promise<number> {
    const { limits, bucketMs, sharePerDay } = this.#settings
    const newest = Math.floor(nowMs / bucketMs)
    const buckets = Array.from({ length: bucketsPerWindow + 1 }, (_, n) => `bucket:${newest - bucketsPerWindow + n}`)
    const keys = ['asked', `day:${dayEndMs}`, ...buckets].map((name) => this.#prefix + name)
    const [, waitMs] = await this.#command(
      keys.length,
      ...keys,
      nowMs,
      bucketMs,
      dayEndMs,
      client.id,
      client.address ?? '',
      client.hasOwnLimits ? 1 : 0,
      amount.requests,
      amount.tokens,
      limits.rpm,
      limits.tpm,
      limits.rpd,
      limits.tpd,
      sharePerDay,
      isInLine ? 1 : 0,
    )
    return waitMs
  }
}
