import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import {
  createQuotaClient,
  type Place,
  type QuotaClient,
  type QuotaClientOptions,
  type Verdict,
} from '../../src/index.ts'
import { ask, roomy } from './requests.ts'
import { VirtualPool } from './virtual-redis.ts'
import { VirtualTime } from './virtual-runtime.ts'

export const limits = { ...roomy, rpm: 15 }
/** A window and its slack and transit, rounded up to buckets: a full ring starts again after so long. */
export const cycleMs = 61_003
export const patient = { maxWaitMs: 600_000 }

export interface Fleet {
  time: VirtualTime
  quotas: QuotaClient[]
  pool?: VirtualPool
  connections?: Redis[]
}
type Options = Partial<QuotaClientOptions>
export type MakeFleet = (t: Test, options?: Options & { instances?: number }) => Promise<Fleet>

/** What became of calls, and when, in milliseconds since the log was made. */
export class Log {
  readonly #time: VirtualTime
  readonly #fromMs: number
  readonly starts: { name: string; atMs: number }[] = []
  readonly refusals: { name: string; atMs: number; verdict: Verdict }[] = []
  readonly told = new Map<string, (Place & { atMs: number })[]>()
  readonly failures: unknown[] = []

  constructor(time: VirtualTime) {
    this.#time = time
    this.#fromMs = time.nowMs
  }

  get nowMs(): number {
    return this.#time.nowMs - this.#fromMs
  }

  get names(): string[] {
    return this.starts.map(({ name }) => name)
  }

  call(quota: QuotaClient | undefined, name: string, changes: Parameters<typeof ask>[0] = patient): void {
    const told: (Place & { atMs: number })[] = []
    this.told.set(name, told)
    const onWaiting = (place: Place) => told.push({ ...place, atMs: this.nowMs })
    quota?.reserve(ask({ ...changes, onWaiting })).then(
      (verdict) => {
        if (verdict.granted && verdict.reservation.start()) this.starts.push({ name, atMs: this.nowMs })
        else this.refusals.push({ name, atMs: this.nowMs, verdict })
      },
      (error) => this.failures.push(error),
    )
  }

  /** Pairs of calls that started, or will, the later one of which was more than a few milliseconds before the other. */
  overtaken(names: string[]): string[] {
    return names.slice(1).flatMap((name, at) => {
      const before = names[at] as string
      return this.startOf(before) <= this.startOf(name) + 20 ? [] : [`${before} by ${name}`]
    })
  }

  startOf(name: string): number {
    return this.starts.find((start) => start.name === name)?.atMs ?? Number.NaN
  }
}

export const inMemory: MakeFleet = async (t, { instances: _, ...options } = {}) => {
  const time = new VirtualTime('2037-07-01T12:00:00Z')
  const quota = createQuotaClient({ pool: 'waiting', limits, ...options }, time.runtime())
  t.teardown(() => quota.close())
  return { time, quotas: [quota] }
}

export const inRedis =
  (redis: Redis): MakeFleet =>
  async (t, { instances = 2, ...options } = {}) => {
    const pool = new VirtualPool(t, redis)
    const quotas: QuotaClient[] = []
    const connections = Array.from({ length: instances }, () => pool.connection())
    for (const redis of connections) quotas.push(await pool.servingInstance({ redis, limits, ...options }))
    return { time: pool.time, quotas, pool, connections }
  }

/** Calls spread over the instances, all at once. Which instance's come first is open. */
export function volley(log: Log, quotas: QuotaClient[], names: string[], changes?: Parameters<typeof ask>[0]): void {
  for (const [at, name] of names.entries()) log.call(quotas[at % quotas.length], name, { ...patient, ...changes })
}

export const named = (prefix: string, count: number) => Array.from({ length: count }, (_, at) => `${prefix}${at}`)

export async function usage(time: VirtualTime, quota: QuotaClient | undefined) {
  if (quota === undefined) throw new Error('there is no instance')
  return time.until(quota.usage())
}
