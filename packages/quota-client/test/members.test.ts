import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { ask, grantsOf, heldBy, roomy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'

t.test('members', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()

  t.test('instances are counted while they are heard', async (t) => {
    const pool = new VirtualPool(t, redis)
    const [first, second, third] = [await pool.servingInstance(), await pool.servingInstance(), pool.connection()]
    await pool.servingInstance({ redis: third })
    t.match(await first.usage(), { instances: 3 })
    await second.close()
    t.match(await first.usage(), { instances: 2 }, 'one has left')
    pool.cutOff.add(third)
    await pool.time.pass(50_000)
    t.match(await first.usage(), { instances: 2 }, 'one is silent')
    await pool.time.pass(15_000)
    t.match(await first.usage(), { instances: 1 }, 'and has been silent for a window')
  })

  t.test('an observer is not counted, sends no heartbeats, and sees what members see', async (t) => {
    const pool = new VirtualPool(t, redis)
    const limits = { ...roomy, rpm: 10 }
    const member = await pool.servingInstance({ limits })
    const observer = pool.instance({ limits: { ...limits, rpm: 5 }, role: 'observer' })
    heldBy(await member.reserve(ask({ requests: 3 })))
    t.match(await observer.usage(), { instances: 1, degraded: false, requests: { perMinute: { current: 3 } } })
    const before = pool.calls.length
    await member.close()
    await pool.time.pass(10_000)
    t.same(
      pool.calls.slice(before).map(([, kind]) => kind),
      ['leave'],
    )
    t.equal((await redis.hgetBuffer(pool.key, 'members'))?.length, 0)
    const next = await pool.servingInstance({ limits })
    t.equal(await grantsOf(next, 20), 7, 'and its limits are not in force')
  })

  t.test('an observer of a Redis that is gone shows the last figures, and says so', async (t) => {
    const pool = new VirtualPool(t, redis)
    const member = await pool.servingInstance()
    const observer = pool.instance({ role: 'observer' })
    heldBy(await member.reserve(ask({ requests: 3 })))
    await observer.usage()
    pool.fault = 'unreachable'
    t.match(await observer.usage(), { degraded: true, requests: { perMinute: { current: 3 } } })
    t.match(observer.health(), { state: 'unavailable', cause: 'unreachable' })
    pool.fault = 'none'
    t.match(await observer.usage(), { degraded: false })
  })

  t.test('an instance that joins others uses no grant for two heartbeats', async (t) => {
    const pool = new VirtualPool(t, redis)
    const first = pool.instance({ newPool: 'open' })
    t.ok((await first.reserve(ask())).granted, 'the first has nobody to wait for')
    const second = pool.instance()
    await pool.time.settle()
    t.match(await second.reserve(ask()), { granted: false, reason: 'unavailable', retryAfterMs: 2000 })
    t.match(second.health(), { state: 'joining' })
    await pool.time.pass(1999)
    t.notOk((await second.reserve(ask())).granted)
    await pool.time.pass(1)
    t.ok((await second.reserve(ask())).granted)
    t.match(second.health(), { state: 'serving' })
    t.match((await first.usage()).requests.perMinute, { current: 2 }, 'nothing was charged for what was not used')
  })
})
