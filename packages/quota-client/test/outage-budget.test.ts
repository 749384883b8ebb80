import { redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import type { QuotaClient } from '../src/index.ts'
import { ask, grantsOf, heldBy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'

const limits = { rpm: 100, rpd: 1000, tpm: 10_000, tpd: 50_000 }
const outage = { rpm: 10, maxInstances: 3 }

t.test('outage budget', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  const poolOf = async (t: Test, instances: number) => {
    const pool = new VirtualPool(t, redis)
    const quotas: QuotaClient[] = []
    for (let made = 0; made < instances; made++) quotas.push(await pool.servingInstance({ limits, outage }))
    return { pool, quotas }
  }
  /** Instances whose first window is over, and then a Redis that is gone. */
  const outageOf = async (t: Test, instances: number) => {
    const { pool, quotas } = await poolOf(t, instances)
    await pool.time.pass(63_000)
    pool.fault = 'unreachable'
    await pool.time.pass(1000)
    return { pool, quotas }
  }

  t.test('is subtracted from the shared limits, tokens and days in proportion', async (t) => {
    const { quotas } = await poolOf(t, 2)
    const usage = await quotas[0]?.usage()
    t.match(usage?.requests, { perMinute: { limit: 70 }, perDay: { limit: 700 } })
    t.match(usage?.tokens, { perMinute: { limit: 7000 }, perDay: { limit: 35_000 } })
    let granted = 0
    for (const quota of quotas) granted += await grantsOf(quota, 50)
    t.equal(granted, 70)
    t.match(await quotas[0]?.reserve(ask({ tokens: 7001 })), { reason: 'too_large', limitType: 'tpm', limit: 7000 })
  })

  t.test('is what each instance may use in a window while Redis cannot be used', async (t) => {
    const { pool, quotas } = await outageOf(t, 3)
    for (const quota of quotas) {
      t.match(await quota.reserve(ask()), { granted: true, degraded: true })
      t.equal(await grantsOf(quota, 50), 9)
      t.match(await quota.reserve(ask()), { granted: false, degraded: true, reason: 'unavailable' })
      t.match(quota.health(), { state: 'unavailable', cause: 'unreachable' })
    }
    await pool.time.pass(61_100)
    for (const quota of quotas) t.equal(await grantsOf(quota, 50), 10)
  })

  t.test('holds a part of the tokens and of the day as well', async (t) => {
    const { pool, quotas } = await outageOf(t, 1)
    const [quota] = quotas
    if (quota === undefined) return
    t.equal(await grantsOf(quota, 5, ask({ tokens: 400 })), 2, '1,000 of 10,000 tokens')
    let granted = 2
    for (let minute = 0; minute < 15; minute++) {
      await pool.time.pass(61_100)
      granted += await grantsOf(quota, 50)
    }
    t.equal(granted, 100, 'of 1,000 requests of the day')
  })

  t.test('is not used while Redis answers, and what was used of it is not reported to Redis', async (t) => {
    const { pool, quotas } = await outageOf(t, 1)
    const [quota] = quotas
    if (quota === undefined) return
    heldBy(await quota.reserve(ask({ tokens: 10 }))).settle(500)
    const released = heldBy(await quota.reserve(ask()))
    pool.fault = 'none'
    await pool.time.pass(3000)
    released.release()
    t.match(await quota.usage(), { degraded: false, requests: { perMinute: { current: 0 } } })
    t.match((await quota.usage()).tokens.perMinute, { current: 0 })
    t.equal(await grantsOf(quota, 200), 70)
    t.match(await quota.reserve(ask()), { granted: false, degraded: false, reason: 'spent' })
  })

  t.test('is not used in the first window of a process, which may have used it before', async (t) => {
    const { pool, quotas } = await poolOf(t, 1)
    await pool.time.pass(2000)
    pool.fault = 'unreachable'
    await pool.time.pass(59_000)
    t.match(await quotas[0]?.reserve(ask()), { granted: false, degraded: true, reason: 'unavailable' })
    await pool.time.pass(2000)
    t.match(await quotas[0]?.reserve(ask()), { granted: true, degraded: true })
  })

  t.test('is not used by an instance that never joined: it does not know of how many it is one', async (t) => {
    const { pool } = await poolOf(t, 0)
    pool.fault = 'unreachable'
    const quota = pool.instance({ limits, outage })
    await pool.time.pass(200_000)
    t.match(await quota.reserve(ask()), { granted: false, degraded: true, reason: 'unavailable' })
  })

  t.test('is not used by anybody when there are too many instances, and health says so', async (t) => {
    const { pool, quotas } = await poolOf(t, 4)
    await pool.time.pass(63_000)
    for (const quota of quotas) t.match(quota.health(), { state: 'too_many_instances', instances: 4, maxInstances: 3 })
    pool.fault = 'unreachable'
    await pool.time.pass(1000)
    for (const quota of quotas) t.notOk((await quota.reserve(ask())).granted)
    pool.fault = 'none'
    await pool.time.pass(3000)
    await quotas[0]?.close()
    await pool.time.pass(1000)
    t.match(quotas[1]?.health(), { state: 'serving' })
  })

  t.test('keeps to the limits of a tenant', async (t) => {
    const { pool, quotas } = await poolOf(t, 3)
    await pool.time.pass(63_000)
    const tenant = { id: 'one', limits: { rpm: 20 } }
    let granted = 0
    const startMs = pool.time.nowMs
    for (const quota of quotas) granted += await grantsOf(quota, 50, ask({ tenant }))
    pool.fault = 'unreachable'
    await pool.time.pass(1000)
    for (const quota of quotas) granted += await grantsOf(quota, 50, ask({ tenant }))
    t.ok(pool.time.nowMs - startMs < 60_000)
    t.ok(granted <= 20, `${granted} of 20 in one window`)
    t.ok(granted >= 14, `the shared part is used: ${granted}`)
  })
})
