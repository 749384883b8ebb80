import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { ask, grantsOf, heldBy, roomy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'

const limits = { ...roomy, rpm: 10, tpm: 1000 }
/** Where the adjustments of the pool and of the tenant are among the arguments. */
const [poolsAt, tenantsAt] = [8, 13]

t.test('adjustments', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()

  t.test('ride on the next call, at the latest on the next heartbeat', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    const tenant = { id: 'one', limits: { tpm: 500 } }
    const [released, settled] = [
      heldBy(await quota.reserve(ask({ requests: 4, tokens: 100 }))),
      heldBy(await quota.reserve(ask({ requests: 4, tokens: 100, tenant }))),
    ]
    const before = pool.calls.length
    released.release()
    settled.settle(40)
    t.equal(pool.calls.length, before, 'nothing is sent for them alone')
    await pool.time.pass(1000)
    t.same(
      pool.calls.slice(before).map(([, kind]) => kind),
      ['heartbeat', 'reserve'],
      "the pool's with a heartbeat, then those of the tenant",
    )
    const usage = await quota.usage()
    t.match([usage.requests.perMinute.current, usage.tokens.perMinute.current], [4, 40])
    t.ok((await quota.reserve(ask({ tokens: 460, tenant }))).granted)
    t.notOk((await quota.reserve(ask({ tokens: 1, tenant }))).granted)
  })

  t.test('a call that is carried out twice takes nothing back twice', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    const tenant = { id: 'one', limits: { rpm: 10 } }
    const [released] = await Promise.all([3, 7].map((requests) => quota.reserve(ask({ requests, tenant }))))
    if (!released?.granted) return t.fail('the pool is empty')
    released.reservation.release()
    await pool.time.pass(1000)
    const calls = pool.calls.filter((call) => call[poolsAt] || call[tenantsAt])
    t.equal(calls.length, 2, 'one for the pool, one for the tenant')
    t.equal(await grantsOf(quota, 10, ask({ tenant })), 3)
    for (const call of [...calls, ...calls]) await pool.execute(call)
    t.match((await quota.usage()).requests, { perMinute: { current: 10 }, perDay: { current: 10 } })
    t.equal(await grantsOf(quota, 10, ask({ tenant })), 0)
    t.equal(await grantsOf(quota, 10), 0)
  })

  t.test('a duplicate of an older call does not let those of newer ones in again', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits: { ...limits, rpm: 100 } })
    const tenant = { id: 'one', limits: { rpm: 10 } }
    const [released] = await Promise.all([3, 7].map((requests) => quota.reserve(ask({ requests, tenant }))))
    if (!released?.granted) return t.fail('the pool is empty')
    released.reservation.release()
    await pool.time.pass(1000)
    const calls = pool.calls.filter((call) => call[poolsAt] || call[tenantsAt])
    t.equal(await grantsOf(quota, 10, ask({ tenant })), 3)
    for (const call of [...calls, ...calls]) await pool.execute(call)
    t.equal(await grantsOf(quota, 10, ask({ tenant })), 0)
  })

  t.test('a duplicate that arrives after its instance has left takes nothing back either', async (t) => {
    const pool = new VirtualPool(t, redis)
    const staying = await pool.servingInstance({ limits })
    const quota = await pool.servingInstance({ limits })
    const [released] = await Promise.all([3, 7].map((requests) => quota.reserve(ask({ requests }))))
    if (!released?.granted) return t.fail('the pool is empty')
    released.reservation.release()
    await pool.time.pass(1000)
    const call = pool.calls.find((call) => call[poolsAt])
    if (call === undefined) return t.fail('the release was not sent')
    t.equal(await grantsOf(staying, 10), 3)
    await quota.close()
    await pool.execute(call)
    t.match((await staying.usage()).requests, { perMinute: { current: 10 }, perDay: { current: 10 } })
  })

  t.test('a call that is overtaken by a later one takes nothing back', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    const [one, other] = [heldBy(await quota.reserve(ask())), heldBy(await quota.reserve(ask()))]
    const calls = []
    for (const released of [one, other]) {
      released.release()
      pool.fault = 'unreachable'
      await quota.usage()
      calls.push(pool.calls.findLast((call) => call[poolsAt]) ?? [])
      pool.fault = 'none'
    }
    for (const call of calls.toReversed()) await pool.execute(call)
    await pool.time.pass(3000)
    t.match((await quota.usage()).requests.perMinute, { current: 1 }, 'one of two was returned, and the other stays')
  })

  t.test('when the reply is lost an overrun is charged all the same, and a release once at most', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    for (const fault of ['lose-replies', 'unreachable'] as const) {
      const before = (await quota.usage()).tokens.perMinute.current
      const [overrun, released] = [
        heldBy(await quota.reserve(ask({ tokens: 10 }))),
        heldBy(await quota.reserve(ask({ tokens: 200 }))),
      ]
      overrun.settle(60)
      released.release()
      pool.fault = fault
      await pool.time.pass(1600)
      pool.fault = 'none'
      await pool.time.pass(3000)
      const charged = (await quota.usage()).tokens.perMinute.current - before
      t.ok(charged >= 60 && charged <= 60 + 2 * 50 + 200, `${fault}: ${charged} for 60`)
      if (fault === 'unreachable') t.ok(charged >= 260, 'what may have been taken back is not taken back again')
    }
  })

  t.test('a release of an earlier incarnation takes nothing, an overrun counts for the day', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    await pool.time.pass(3000)
    const [overrun, released] = [
      heldBy(await quota.reserve(ask({ tokens: 10 }))),
      heldBy(await quota.reserve(ask({ tokens: 20 }))),
    ]
    pool.clockAheadMs += 2000
    await pool.time.pass(70_000)
    heldBy(await quota.reserve(ask({ requests: 10, tokens: 5 })))
    overrun.settle(60)
    released.release()
    await pool.time.pass(1000)
    const { requests, tokens } = await quota.usage()
    t.match([requests.perMinute.current, tokens.perMinute.current], [10, 5])
    t.match([requests.perDay.current, tokens.perDay.current], [12, 10 + 20 + 5 + 50])
  })
})
