import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { TestRedisServer } from '@knowalledge/testing'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'
import {
  createQuotaClient,
  type QuotaClient,
  type QuotaUsage,
  quotaRedisOptions,
  type Verdict,
} from '../../src/index.ts'
import { ask } from './contract.ts'
import { type Admission, most, sharedClockMs } from './oracle.ts'

export const windowMs = 2400
export const limit = 60
export const instances = 3

export interface Fleet {
  quotas: QuotaClient[]
  admissions: Admission[]
  verdicts: { verdict: Verdict; ms: number; atMs: number }[]
  failures: unknown[]
  stop: () => Promise<void>
}

/** Three instances, each with a connection of its own, that ask all the time until stopped. */
export async function hammeringFleet(
  t: Test,
  server: TestRedisServer,
  { prepare = () => {} }: { prepare?: (redis: Redis, instance: number) => void } = {},
): Promise<Fleet> {
  const fleet: Fleet = { quotas: [], admissions: [], verdicts: [], failures: [], stop: async () => {} }
  let stopped = false
  const limits = { rpm: limit, rpd: 100_000, tpm: 1e9, tpd: 1e10 }
  for (let instance = 0; instance < instances; instance++) {
    const redis = server.connect(quotaRedisOptions())
    await once(redis, 'ready') // one that starts without Redis knows of nobody
    fleet.quotas.push(createQuotaClient({ redis, pool: 'fleet', limits, windowMs, dayTimeZone: 'Pacific/Kiritimati' }))
    prepare(redis, instance)
  }
  const strands = [...fleet.quotas, ...fleet.quotas].map(async (quota) => {
    while (!stopped) {
      const askedMs = sharedClockMs()
      try {
        const verdict = await quota.reserve(ask({ tokens: 10 }))
        const answeredMs = sharedClockMs()
        fleet.verdicts.push({ verdict, ms: answeredMs - askedMs, atMs: askedMs })
        if (verdict.granted) fleet.admissions.push({ askedMs, answeredMs, requests: 1, tokens: 10 })
      } catch (error) {
        fleet.failures.push(error)
      }
      await delay(2)
    }
  })
  fleet.stop = async () => {
    stopped = true
    await Promise.all(strands)
    await Promise.all(fleet.quotas.map((quota) => quota.close()))
  }
  t.teardown(fleet.stop)
  return fleet
}

export function judge(t: Test, fleet: Fleet): void {
  const worst = most('requests', fleet.admissions, windowMs) / limit
  t.ok(worst <= 1, `at most ${worst.toFixed(4)} of the limit in any window`)
  t.same(fleet.failures, [], 'no error reached a caller')
}

/** The fleet's use as Redis has it: asked again when the machine stalled, and this process showed its own. */
export async function together({ quotas: [quota] }: Fleet): Promise<QuotaUsage> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const usage = await quota?.usage()
    if (usage?.degraded === false) return usage
    await delay(20)
  }
  throw new Error('Redis is back, and the fleet still decides without it')
}

export function between(fleet: Fleet, fromMs: number, toMs: number) {
  return fleet.verdicts.filter(({ atMs }) => atMs >= fromMs && atMs < toMs)
}
