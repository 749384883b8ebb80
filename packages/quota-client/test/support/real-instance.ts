import { once } from 'node:events'
import { redisOptions } from '@knowalledge/redis-kit'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { createQuotaClient, type Hold, type QuotaClient, type QuotaClientOptions } from '../../src/index.ts'
import { roomy } from './requests.ts'
import { until } from './until.ts'

/** A window of three seconds: heartbeats come every 50 ms. */
export const minute = { windowMs: 3000, transitMs: 400 }

export interface RealInstance {
  quota: QuotaClient
  redis: Redis
  holds: Hold[]
  /** Changes that were notified, in their order. */
  faults: string[]
  /** The state of health becomes this one. */
  becomes(state: ReturnType<QuotaClient['health']>['state']): Promise<void>
}

/** An instance with a connection of its own that serves. */
export async function realInstance(
  t: Test,
  port: number,
  options: Partial<QuotaClientOptions> = {},
): Promise<RealInstance> {
  const redis = new Redis(port, '127.0.0.1', redisOptions())
  redis.on('error', () => {}) // faults are made on purpose
  await once(redis, 'ready')
  const [holds, faults]: [Hold[], string[]] = [[], []]
  const quota = createQuotaClient({
    redis,
    pool: 'real',
    limits: roomy,
    ...minute,
    newPool: 'open',
    onHold: (hold) => holds.push(hold),
    onFault: ({ state }) => faults.push(state),
    ...options,
  })
  t.teardown(async () => {
    await quota.close()
    redis.disconnect()
  })
  const becomes = (state: string) => until(() => quota.health().state === state)
  await becomes('serving')
  return { quota, redis, holds, faults, becomes }
}
