import { redisServerForTest } from '@knowalledge/testing'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { Hold, QuotaClient } from '../src/index.ts'
import { ask, grantsOf, roomy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'

const windowMs = 60_000
const hourMs = 3_600_000
const limits = { ...roomy, rpm: 10 }

t.test('clock steps', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()

  for (const instances of [1, 2])
    for (const stepMs of [hourMs, -hourMs, 2000, -2000, 300, -300])
      t.test(`${instances} instances: a step of Redis's clock by ${stepMs} ms is a hold of one window`, async (t) => {
        const { pool, quotas, holds } = await fullPool(t, redis, { instances })
        await pool.time.pass(10_500)
        pool.clockAheadMs += stepMs
        t.equal(await grantsDuring(pool, quotas, windowMs), 0)
        t.match(
          holds,
          quotas.map(() => ({ cause: 'clock' })),
          'each instance announced it once',
        )
        await pool.time.pass(5000)
        let granted = 0
        for (const quota of quotas) granted += await grantsOf(quota, 10)
        t.equal(granted, 10)
      })

  t.test('small steps add up to one', async (t) => {
    const { pool, quotas, holds } = await fullPool(t, redis, { instances: 1 })
    for (let step = 0; step < 10; step++) {
      await pool.time.pass(1000)
      pool.clockAheadMs += 100
    }
    await pool.time.pass(1000)
    t.match(holds, [{ cause: 'clock' }])
    t.match(await quotas[0]?.reserve(ask()), { granted: false, reason: 'hold', cause: 'clock' })
  })

  for (const drift of [0.0005, -0.0005])
    t.test(`a drift by ${drift * 100} % is no step`, async (t) => {
      const { pool, quotas, holds } = await fullPool(t, redis, { instances: 2, drift })
      t.equal(await grantsDuring(pool, quotas, windowMs), 0)
      await pool.time.pass(2000)
      for (const quota of quotas) t.equal(await grantsOf(quota, 5), 5)
      t.same(holds, [])
    })

  t.test('a clock that steps with every reply makes no more than two heartbeats of one', async (t) => {
    const { pool } = await fullPool(t, redis, { instances: 1 })
    let aheadMs = 0
    Object.defineProperty(pool, 'clockAheadMs', { get: () => (aheadMs += 10_000) })
    const before = pool.calls.length
    await pool.time.pass(10_000)
    t.ok(pool.calls.length - before <= 20, `${pool.calls.length - before} calls in ten heartbeats`)
  })

  t.test('an instance that joins uses no grant before the others have seen a step', async (t) => {
    const { pool, quotas } = await fullPool(t, redis, { instances: 1 })
    await pool.time.pass(10_500)
    pool.clockAheadMs += hourMs
    const joining = pool.instance({ limits })
    t.notOk((await joining.reserve(ask())).granted)
    t.equal(await grantsDuring(pool, [joining, ...quotas], windowMs - 1000), 0)
  })

  t.test('an instance whose machine was paused cannot tell that from a step: the pool is held', async (t) => {
    const { pool, quotas } = await fullPool(t, redis, { instances: 1 })
    const runtime = pool.time.runtime()
    const paused = await pool.servingInstance({ limits }, runtime)
    await pool.time.pass(70_000)
    t.ok((await paused.reserve(ask())).granted)
    await runtime.pauseMachine(5000)
    t.notOk((await paused.reserve(ask())).granted)
    await pool.time.pass(1000)
    for (const quota of [paused, ...quotas]) t.match(quota.health(), { state: 'hold', cause: 'clock' })
  })

  t.test('an instance that heard nothing for a window joins again', async (t) => {
    const { pool } = await fullPool(t, redis, { instances: 1 })
    const connection = pool.connection()
    const quota = await pool.servingInstance({ limits, redis: connection })
    pool.cutOff.add(connection)
    await pool.time.pass(windowMs + 2000)
    t.match(await quota.reserve(ask()), { granted: false, degraded: true, reason: 'unavailable' })
    t.match(quota.health(), { state: 'unavailable', cause: 'unreachable' })
    pool.cutOff.clear()
    await pool.time.pass(1000)
    t.match(quota.health(), { state: 'joining' })
    t.notOk((await quota.reserve(ask())).granted)
    await pool.time.pass(2000)
    t.ok((await quota.reserve(ask())).granted)
  })
})

/** A pool whose limit was just used by instances that have been there for some heartbeats. */
async function fullPool(t: Test, redis: Redis, { instances, drift = 0 }: { instances: number; drift?: number }) {
  const pool = new VirtualPool(t, redis)
  pool.clockDrift = drift
  const holds: Hold[] = []
  const onHold = (hold: Hold) => holds.push(hold)
  const quotas = []
  for (let made = 0; made < instances; made++) quotas.push(await pool.servingInstance({ limits, onHold }))
  await pool.time.pass(3000)
  let granted = 0
  for (const quota of quotas) granted += await grantsOf(quota, limits.rpm)
  if (granted !== limits.rpm) throw new Error(`the pool had ${granted} of ${limits.rpm}`)
  return { pool, quotas, holds }
}

async function grantsDuring(pool: VirtualPool, quotas: QuotaClient[], ms: number) {
  let granted = 0
  for (const endMs = pool.time.nowMs + ms; pool.time.nowMs < endMs; await pool.time.pass(333))
    for (const quota of quotas) granted += await grantsOf(quota, 1)
  return granted
}
