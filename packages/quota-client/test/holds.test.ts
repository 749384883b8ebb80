import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import type { Hold, HoldCause } from '../src/index.ts'
import { ask, grantsOf, heldBy, roomy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'

const windowMs = 60_000
/** 3 % for a slow clock, and the time that a grant may be under way. */
const shortestHoldMs = windowMs * 1.03 + 500 + 250
const longestHoldMs = shortestHoldMs + 1000

t.test('holds', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  const limits = { ...roomy, rpm: 10 }

  t.test('a new pool grants nothing for one window, and says for how long', async (t) => {
    const pool = new VirtualPool(t, redis)
    const holds: Hold[] = []
    const quota = pool.instance({ limits, onHold: (hold) => holds.push(hold) })
    const refused = await quota.reserve(ask())
    t.match(refused, {
      granted: false,
      degraded: false,
      reason: 'hold',
      cause: 'empty',
      limitType: 'upstream',
      limit: 0,
    })
    if (refused.granted) return t.fail('there was a past that nobody knew')
    t.ok(refused.retryAfterMs >= shortestHoldMs && refused.retryAfterMs <= longestHoldMs, `${refused.retryAfterMs}`)
    t.match((await quota.usage()).hold, { cause: 'empty', endsInMs: refused.retryAfterMs })
    t.match(quota.health(), { state: 'hold', cause: 'empty', endsInMs: refused.retryAfterMs })

    await pool.time.pass(refused.retryAfterMs - 1)
    t.match(await quota.reserve(ask()), { granted: false, reason: 'hold', retryAfterMs: 1 })
    await pool.time.pass(1)
    t.equal(await grantsOf(quota, 20), 10)
    t.equal((await quota.usage()).hold, null)
    t.match(quota.health(), { state: 'serving' })
    t.same(holds, [{ cause: 'empty', endsInMs: refused.retryAfterMs }], 'announced once')
  })

  t.test('a new pool is open at once when it is told so, and an instance that comes later finds it open', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = pool.instance({ limits, newPool: 'open' })
    t.equal(await grantsOf(quota, 20), 10)
    const holds: Hold[] = []
    const later = pool.instance({ limits, onHold: (hold) => holds.push(hold) })
    await pool.time.pass(windowMs * 1.03)
    t.ok((await later.reserve(ask())).granted)
    t.same(holds, [])
  })

  for (const [name, cause, lose] of [
    ['all data is lost', 'empty', (pool) => pool.lose()],
    ['Redis restarts, or another one takes its place', 'restart', (pool) => pool.restart()],
    [
      'a state of another layout is found',
      'configuration',
      async ({ key }) => void (await redis.hset(key, 'pool', 'x')),
    ],
  ] as [string, HoldCause, (pool: VirtualPool) => Promise<void>][])
    t.test(`when ${name} nothing is granted for one window, on any instance`, async (t) => {
      const pool = new VirtualPool(t, redis)
      const holds: Hold[] = []
      const onHold = (hold: Hold) => holds.push(hold)
      const quotas = [await pool.servingInstance({ limits, onHold }), await pool.servingInstance({ limits, onHold })]
      for (const quota of quotas) t.equal(await grantsOf(quota, 5), 5)
      await lose(pool)
      quotas.push(pool.instance({ limits }))
      let granted = 0
      const startMs = pool.time.nowMs
      while (pool.time.nowMs < startMs + windowMs + 500) {
        for (const quota of quotas) granted += await grantsOf(quota, 1)
        await pool.time.pass(777)
      }
      t.equal(granted, 0)
      t.match(holds, [{ cause }, { cause }], 'each instance announced it once')
      await pool.time.pass(longestHoldMs - (pool.time.nowMs - startMs))
      for (const quota of quotas) granted += await grantsOf(quota, 10)
      t.equal(granted, 10, 'and then all of the limit')
    })

  t.test('a rollback is seen by the instances that know what was lost', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    await pool.time.pass(2000)
    const rollBack = await pool.snapshot()
    for (let call = 0; call < 10; call++) heldBy(await quota.reserve(ask()))
    await rollBack()
    const later = pool.instance({ limits })
    t.notOk((await later.reserve(ask())).granted, 'a joining instance gives the others time to see it')
    await pool.time.pass(1000)
    t.match(later.health(), { state: 'hold', cause: 'restart' })
    t.match(await quota.reserve(ask()), { granted: false, reason: 'hold', cause: 'restart' })
  })

  t.test('a rollback to an earlier incarnation is seen as well', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    const rollBack = await pool.snapshot()
    pool.replicationId = 'second' // a failover, and then the first server is back, which has not heard of it
    await pool.time.pass(longestHoldMs + 1000)
    t.equal(await grantsOf(quota, 10), 10)
    pool.replicationId = 'first'
    await rollBack()
    t.match(await quota.reserve(ask()), { granted: false, reason: 'hold', cause: 'restart' })
    const endsInMs = (await quota.usage()).hold?.endsInMs
    await pool.time.pass(5000)
    t.equal((await quota.usage()).hold?.endsInMs, Number(endsInMs) - 5000, 'and held once')
  })

  t.test('a longer ring of one instance is a hold for all, and so is the way back', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    t.equal(await grantsOf(quota, 10), 10)
    const other = pool.instance({ limits, transitMs: 5000 })
    await pool.time.settle()
    t.match(await quota.reserve(ask()), { granted: false, reason: 'hold', cause: 'configuration' })
    await pool.time.pass(longestHoldMs + 5000)
    t.ok((await quota.reserve(ask())).granted)
    await other.close()
    t.match(await quota.reserve(ask()), { granted: false, reason: 'hold', cause: 'configuration' })
  })

  t.test('the smallest limits of the instances are in force while those were heard', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    const small = await pool.servingInstance({ limits: { ...limits, rpm: 4 } })
    const refused = await quota.reserve(ask({ requests: 5 }))
    t.match(refused, { granted: false, reason: 'spent', limitType: 'rpm' })
    t.equal(await grantsOf(quota, 10), 4)
    heldBy(await pool.time.until(small.close().then(() => quota.reserve(ask()))))
    t.equal(await grantsOf(quota, 10), 5, 'the limit is whole again')
  })
})
