import { redisOptions } from '@knowalledge/redis-kit'
import type { TestRedisServer } from '@knowalledge/testing'
import { type RateLimiterAbstract, RateLimiterMemory, RateLimiterRedis } from 'rate-limiter-flexible'
import {
  createQuotaClient,
  type QuotaClient,
  type Reservation,
  type Verdict,
} from '../packages/quota-client/src/index.ts'

export interface Contender {
  name: string
  /** Decisions that are asked for at the same time. */
  inFlight: number
  /** One decision: a request of 100 tokens under four limits, granted. */
  decide: () => Promise<unknown>
  /** What the caller does with the answer. Not a part of `decide`, where it would cost a promise that no caller needs. */
  use?: (answer: unknown) => void
}

/** How often a call of Redis was not answered in time: such a round does not count. */
export const disturbances = { count: 0 }

const limits = { rpm: 1e9, rpd: 1e11, tpm: 1e11, tpd: 1e12 }
const tokens = 100
const daySeconds = 86_400

/** All that is compared, each over a connection of its own to the same Redis, and how to let go of it. */
export function contenders(server: TestRedisServer): { list: Contender[]; close: () => Promise<void> } {
  const onFault = () => {
    disturbances.count += 1
  }
  const quota = createQuotaClient({
    redis: server.connect(redisOptions()),
    pool: 'bench',
    limits,
    newPool: 'open',
    onFault,
  })
  const inMemory = createQuotaClient({ pool: 'bench', limits })
  const storeClient = server.connect()
  const flexible = fourLimits((options) => new RateLimiterRedis({ ...options, storeClient }))
  const flexibleMemory = fourLimits((options) => new RateLimiterMemory(options))
  const raw = server.connect()
  raw.defineCommand('benchIncrement', { lua: "return redis.call('INCR', KEYS[1])", numberOfKeys: 1 })
  const { benchIncrement } = raw as unknown as { benchIncrement(key: string): Promise<number> }
  const list = [
    ...rows('quota-client', { decide: () => reserve(quota), use: granted }, [1, 64, 256]),
    ...rows('quota-client, reserve + settle', { decide: () => reserve(quota), use: settle }, [1, 64]),
    ...rows('rate-limiter-flexible, four limits one by one', { decide: () => oneByOne(flexible) }, [1, 64, 256]),
    ...rows('rate-limiter-flexible, four limits at once', { decide: () => atOnce(flexible) }, [1, 64, 256]),
    ...rows('ioredis, EVALSHA of one INCR', { decide: () => benchIncrement.call(raw, 'bench') }, [1, 64]),
    ...rows('quota-client in memory', { decide: () => reserve(inMemory), use: granted }, [1]),
    ...rows('rate-limiter-flexible in memory, four limits', { decide: () => oneByOne(flexibleMemory) }, [1]),
  ]
  return { list, close: () => quota.close() }
}

function rows(name: string, work: Pick<Contender, 'decide' | 'use'>, inFlight: number[]): Contender[] {
  return inFlight.map((count) => ({ name, inFlight: count, ...work }))
}

function reserve(quota: QuotaClient): Promise<Verdict> {
  return quota.reserve({ requests: 1, tokens, priority: 'interactive' })
}

function granted(answer: unknown): Reservation {
  const verdict = answer as Verdict
  if (!verdict.granted) throw new Error(`refused: ${JSON.stringify(verdict)}`)
  return verdict.reservation
}

function settle(answer: unknown): void {
  granted(answer).settle(tokens - 20)
}

type Make = (options: { points: number; duration: number; keyPrefix: string }) => RateLimiterAbstract
type FourLimits = { limiter: RateLimiterAbstract; points: number }[]

function fourLimits(make: Make): FourLimits {
  return [
    { limiter: make({ points: limits.rpm, duration: 60, keyPrefix: 'rpm' }), points: 1 },
    { limiter: make({ points: limits.rpd, duration: daySeconds, keyPrefix: 'rpd' }), points: 1 },
    { limiter: make({ points: limits.tpm, duration: 60, keyPrefix: 'tpm' }), points: tokens },
    { limiter: make({ points: limits.tpd, duration: daySeconds, keyPrefix: 'tpd' }), points: tokens },
  ]
}

async function oneByOne(four: FourLimits): Promise<void> {
  for (const { limiter, points } of four) await limiter.consume('bench', points)
}

function atOnce(four: FourLimits): Promise<unknown> {
  return Promise.all(four.map(({ limiter, points }) => limiter.consume('bench', points)))
}
