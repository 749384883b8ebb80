import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { faultProxyForTest, redisServerForTest } from '@knowalledge/testing'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createQuotaClient, type QuotaClient, quotaRedisOptions } from '../src/index.ts'
import { ask, roomy } from './support/contract.ts'

const windowMs = 2400
const limit = 24

/** Instances that know of each other, behind one proxy. */
async function fleetForTest(t: Test, instances: number) {
  const server = await redisServerForTest(t)
  const proxy = await faultProxyForTest(t, server.port)
  const limits = { ...roomy, rpm: limit }
  const quotas: QuotaClient[] = []
  for (let made = 0; made < instances; made++) {
    const redis = new Redis(proxy.port, '127.0.0.1', quotaRedisOptions())
    redis.on('error', () => {}) // it is cut on purpose
    await once(redis, 'ready')
    const quota = createQuotaClient({ redis, pool: 'unseen', limits, windowMs })
    quotas.push(quota)
    t.teardown(async () => {
      await quota.close()
      redis.disconnect()
    })
  }
  for (const quota of quotas) await quota.reserve(ask())
  while ((await quotas[0]?.usage())?.instances !== instances) await delay(10)
  await delay(windowMs * 1.1) // what they took has left
  return { proxy, quotas }
}

const grantsOf = async (quotas: readonly QuotaClient[]) =>
  (await Promise.all(quotas.map((quota) => quota.reserve(ask())))).filter(({ granted }) => granted).length

t.test('what one took since the others last looked is not taken again by them when Redis fails', async (t) => {
  const { proxy, quotas } = await fleetForTest(t, 6)
  let granted = 0
  for (let asked = 0; asked < limit; asked++) granted += await grantsOf(quotas.slice(0, 1))
  t.equal(granted, limit)
  proxy.mode = 'swallow-requests'
  for (const endsAt = performance.now() + windowMs * 0.8; performance.now() < endsAt; await delay(20))
    granted += await grantsOf(quotas)
  t.equal(granted, limit)
})

t.test('a stumble of Redis, nobody having taken anything without it, is over when it answers', async (t) => {
  const { proxy, quotas } = await fleetForTest(t, 3)
  proxy.mode = 'swallow-requests'
  const refused = await quotas[0]?.reserve(ask())
  t.match(refused, { granted: false, degraded: true })
  proxy.mode = 'pass'
  proxy.cut()
  const startedAt = performance.now()
  for (;;) {
    const verdicts = await Promise.all(quotas.map((quota) => quota.reserve(ask())))
    if (verdicts.every(({ granted, degraded }) => granted && !degraded)) break
    if (performance.now() - startedAt > windowMs / 2) return t.fail('not before half a window has passed')
    await delay(20)
  }
})
