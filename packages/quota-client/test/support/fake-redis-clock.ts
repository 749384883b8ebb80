import { readFileSync } from 'node:fs'
import type { Redis } from 'ioredis'
import { CalendarDay } from '../../src/calendar-day.ts'
import { StoreBackedQuota } from '../../src/client.ts'
import type { StoreSettings } from '../../src/memory-store.ts'
import { RedisStore } from '../../src/redis-store.ts'
import { patience } from './patience.ts'

const scripts = ['reserve', 'settle', 'report', 'report-tenant', 'attend', 'pause', 'usage']

/** A clock that the test moves, for Redis and for the clients over it. Let its times lie in the future: keys expire. */
export class FakeClock {
  nowMs: number
  /** What a clock that only runs forward has counted. */
  ranMs = 0
  readonly #redis: Redis

  constructor(redis: Redis, start: string) {
    this.#redis = redis
    this.nowMs = Date.parse(start)
  }

  /** Moves on, or, negative, steps back while `passedMs` really pass. */
  async move(byMs: number, passedMs = Math.max(0, byMs)): Promise<void> {
    this.nowMs += byMs
    this.ranMs += passedMs
    await this.#redis.set('clock', String(this.nowMs * 1000))
  }

  /** A client whose scripts read this clock from the key `clock`, in microseconds, instead of Redis's TIME. */
  async client(
    redis: Redis,
    changes: Pick<StoreSettings, 'pool' | 'limits' | 'windowMs'> & { zone?: string },
  ): Promise<StoreBackedQuota> {
    const { zone = 'America/Los_Angeles', ...rest } = changes
    const settings = { ...rest, safetyMargin: 0.7, day: new CalendarDay(zone), clock: () => this.nowMs }
    const store = new RedisStore(redis, {
      ...settings,
      ...patience,
      assumedInstances: 1,
      onFault: () => {},
      elapsed: () => this.ranMs,
    })
    readTheKeyClock(redis)
    await this.move(0)
    return new StoreBackedQuota(store, settings)
  }
}

function readTheKeyClock(redis: Redis): void {
  for (const name of scripts) {
    const read = (file: string) => readFileSync(new URL(`../../lua/${file}.lua`, import.meta.url), 'utf8')
    const text = (name === 'reserve' ? read('reserve-hot') : '') + read('account') + read(name)
    const lua = text.replaceAll("redis.call('TIME')", "{ 0, redis.call('GET', 'clock') }")
    if (lua === text) throw new Error('the scripts no longer read TIME as this fixture expects')
    redis.defineCommand(`knowalledgeQuota-${name}`, { lua })
  }
}
