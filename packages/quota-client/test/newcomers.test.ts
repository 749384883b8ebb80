import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { faultProxyForTest, redisServerForTest } from '@knowalledge/testing'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createQuotaClient, type QuotaClient, quotaRedisOptions } from '../src/index.ts'
import { ask, roomy } from './support/contract.ts'

const windowMs = 4000
const limit = 24

/** A place where instances with a pool in common start, each with a connection of its own that can fail. */
async function placeForTest(t: Test) {
  const server = await redisServerForTest(t)
  const begin = async ({ waiting = true, assumedInstances = 3 } = {}) => {
    const proxy = await faultProxyForTest(t, server.port)
    if (!waiting) proxy.mode = 'refuse'
    const redis = new Redis(proxy.port, '127.0.0.1', quotaRedisOptions())
    redis.on('error', () => {}) // it is cut on purpose
    if (waiting) await once(redis, 'ready')
    const faults: string[] = []
    const quota = createQuotaClient({
      redis,
      pool: 'newcomers',
      limits: { ...roomy, rpm: limit },
      windowMs,
      assumedInstances,
      onFault: ({ state }) => faults.push(state),
    })
    t.teardown(async () => {
      await quota.close()
      redis.disconnect()
    })
    return { quota, redis, proxy, faults }
  }
  return { server, begin }
}

async function take(quota: QuotaClient, requests: number): Promise<number> {
  let granted = 0
  for (let asked = 0; asked < requests; asked++) granted += (await quota.reserve(ask())).granted ? 1 : 0
  return granted
}

/** Each asks again and again; nothing of what was used before leaves the window meanwhile. */
async function takeForHalfAWindow(...quotas: QuotaClient[]): Promise<number> {
  let granted = 0
  for (const endsAt = performance.now() + windowMs / 2; performance.now() < endsAt; await delay(20))
    for (const quota of quotas) granted += await take(quota, 1)
  return granted
}

async function untilGranted(quota: QuotaClient): Promise<void> {
  while (!(await quota.reserve(ask())).granted) await delay(20)
}

async function untilCounted(quota: QuotaClient, instances: number): Promise<void> {
  while ((await quota.usage()).instances !== instances) await delay(10)
}

t.test('the first to find no state waits for those who may have lost one, and then begins', async (t) => {
  const { begin } = await placeForTest(t)
  const { quota, faults } = await begin()
  t.match(await quota.reserve(ask()), { granted: false, degraded: true })
  await untilGranted(quota)
  t.match(await quota.reserve(ask()), { granted: true, degraded: false })
  t.same(faults, [], 'a beginning is no fault')
})

t.test(
  'those that a first one only assumed are not there: Redis lost right after, it goes on as the only one',
  async (t) => {
    const { begin } = await placeForTest(t)
    const { quota, proxy } = await begin()
    await untilGranted(quota)
    proxy.mode = 'swallow-requests'
    t.match(await quota.reserve(ask()), { granted: true, degraded: true })
  },
)

t.test('as many as are assumed have found no state: they need not wait', async (t) => {
  const { begin } = await placeForTest(t)
  const fleet = [await begin(), await begin(), await begin()]
  for (const { quota } of fleet) await quota.reserve(ask())
  t.match(await fleet[2]?.quota.reserve(ask()), { granted: true, degraded: false })
})

t.test('one that starts where the state was lost takes nothing before those who used it are back', async (t) => {
  const { server, begin } = await placeForTest(t)
  const old = await begin()
  await untilGranted(old.quota)
  let granted = 1 + (await take(old.quota, limit))
  t.equal(granted, limit)
  old.proxy.mode = 'refuse'
  old.proxy.cut()
  await server.connect().flushall()
  const late = await begin()
  granted += await take(late.quota, 3)
  old.proxy.mode = 'pass'
  await old.quota.reserve(ask())
  granted += await takeForHalfAWindow(late.quota, old.quota)
  t.equal(granted, limit)
})

t.test("a provider's pause makes no state that another could take from before what was used is back", async (t) => {
  const { server, begin } = await placeForTest(t)
  const old = await begin()
  await untilGranted(old.quota)
  let granted = 1 + (await take(old.quota, limit))
  t.equal(granted, limit)
  const late = await begin()
  await server.connect().flushall()
  await old.quota.pause({ limitType: 'rpm', untilMs: Date.now() + 1 })
  granted += await takeForHalfAWindow(late.quota, old.quota)
  t.equal(granted, limit)
})

t.test('one that starts while others have to report does not stand for one that died unreported', async (t) => {
  const { server, begin } = await placeForTest(t)
  const [one, dying] = [await begin(), await begin()]
  await untilGranted(one.quota)
  let granted = 1 + (await take(dying.quota, limit / 2))
  await untilCounted(one.quota, 2)
  granted += await take(one.quota, limit) // and sees with each that they are two
  t.equal(granted, limit)
  dying.redis.disconnect() // with all that it knows
  await server.connect().flushall()
  const late = await begin()
  granted += await takeForHalfAWindow(late.quota, one.quota)
  t.equal(granted, limit)
})

t.test('one that started without Redis and is the first when it is back, empty, takes nothing', async (t) => {
  const { server, begin } = await placeForTest(t)
  const old = await begin()
  await untilGranted(old.quota)
  let granted = 1 + (await take(old.quota, limit))
  old.proxy.mode = 'refuse'
  old.proxy.cut()
  const late = await begin({ waiting: false, assumedInstances: 1_000 })
  granted += await take(late.quota, 3)
  await server.connect().flushall()
  late.proxy.mode = 'pass'
  while (late.redis.status !== 'ready') await delay(5)
  granted += await take(late.quota, 3)
  old.proxy.mode = 'pass'
  granted += await takeForHalfAWindow(late.quota, old.quota)
  t.equal(granted, limit)
})

t.test('one that stumbles while others have to report keeps to its share when it is back', async (t) => {
  const { server, begin } = await placeForTest(t)
  const [one, dying] = [await begin(), await begin()]
  await untilGranted(one.quota)
  let granted = 1 + (await take(dying.quota, limit / 2))
  await untilCounted(one.quota, 2)
  granted += await take(one.quota, limit)
  dying.redis.disconnect() // with all that it knows
  await server.connect().flushall()
  while ((await one.quota.usage()).requests.perMinute.current === 0) await delay(5) // until it has reported
  one.proxy.mode = 'swallow-requests'
  t.match(await one.quota.usage(), { degraded: true })
  one.proxy.mode = 'pass'
  one.proxy.cut()
  granted += await takeForHalfAWindow(one.quota)
  t.equal(granted, limit)
})

t.test('many callers that wait for the connection share one wait', async (t) => {
  const warnings: Error[] = []
  const keep = (warning: Error) => warnings.push(warning)
  process.on('warning', keep)
  t.teardown(() => process.off('warning', keep))
  const { begin } = await placeForTest(t)
  const { quota } = await begin({ waiting: false })
  const asked: Promise<unknown>[] = []
  for (let turn = 0; turn < 40; turn++) {
    asked.push(quota.reserve(ask()))
    await new Promise(setImmediate)
  }
  await Promise.all(asked)
  t.same(warnings, [])
})
