import { readFileSync } from 'node:fs'
import { CalendarDay, type QuotaLimits } from '@knowalledge/quota-client'
import { defineScript, type RedisConnection } from '@knowalledge/redis-kit'
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
  const day = new CalendarDay(options.dayTimeZone)
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
      const take: Take = { client, amount, isInLine, nowMs, dayEndMs: day.endOf(nowMs) }
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

const script = readFileSync(new URL('../lua/client-budget.lua', import.meta.url), 'utf8')

/** Who asked last, the day, and the buckets of the window. */
const keyCount = 2 + bucketsPerWindow + 1

class RedisBudget {
  readonly #command: ReturnType<typeof defineScript>
  readonly #prefix: string
  readonly #settings: BudgetSettings

  constructor(redis: RedisConnection, { pool, settings }: { pool: string; settings: BudgetSettings }) {
    this.#command = defineScript(redis, { name: 'takeFromBudget', lua: script, numberOfKeys: keyCount })
    this.#prefix = `{budget:${pool}}:`
    this.#settings = settings
  }

  /** Milliseconds to wait; 0 when it was taken. A negative amount is given back. */
  async take({ client, amount, isInLine, nowMs, dayEndMs }: Take): Promise<number> {
    const { limits, bucketMs, sharePerDay } = this.#settings
    const newest = Math.floor(nowMs / bucketMs)
    const buckets = Array.from({ length: bucketsPerWindow + 1 }, (_, n) => `bucket:${newest - bucketsPerWindow + n}`)
    const keys = ['asked', `day:${dayEndMs}`, ...buckets].map((name) => this.#prefix + name)
    const waitMs = await this.#command(
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
    return Number(waitMs)
  }
}
