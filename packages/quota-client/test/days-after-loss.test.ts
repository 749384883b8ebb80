import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { ask, grantsOf, heldBy, roomy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'

const hold = 64_000
const limits = { ...roomy, rpm: 10, rpd: 100, tpm: 1000, tpd: 100_000 }
const tenant = { id: 'one', limits: { rpm: 5, rpd: 40 } }

t.test('days after a loss', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()

  t.test('the day of the pool and of a tenant survive the loss of all data by what a member has seen', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quotas = [await pool.servingInstance({ limits }), await pool.servingInstance({ limits })]
    const [quota, other] = quotas
    if (quota === undefined || other === undefined) return
    for (let minute = 0; minute < 6; minute++) {
      heldBy(await quota.reserve(ask({ requests: 5, tokens: 400, tenant })))
      heldBy(await other.reserve(ask({ requests: 5, tokens: 400 })))
      await pool.time.pass(61_100)
    }
    await pool.lose()
    await pool.time.pass(hold)
    const { requests, tokens } = await quota.usage()
    t.ok(requests.perDay.current >= 60 && requests.perDay.current <= 70, `${requests.perDay.current} of 60 requests`)
    t.ok(tokens.perDay.current >= 4800 && tokens.perDay.current <= 5800, `${tokens.perDay.current} of 4,800 tokens`)
    let ofTenant = 0
    for (let minute = 0; minute < 6; minute++) {
      ofTenant += await grantsOf(quota, 5, ask({ tenant }))
      await pool.time.pass(61_100)
    }
    // The tenant was last seen a minute before the loss: two rings of 5 may have gone unseen.
    t.ok(ofTenant >= 40 - 30 - 10 && ofTenant <= 40 - 30, `${ofTenant} of the 10 that the tenant had left`)
  })

  t.test('use that only an instance which died had seen is covered by one limit per ring', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    const connection = pool.connection()
    const dying = await pool.servingInstance({ limits, redis: connection })
    await pool.time.pass(2100)
    t.equal(await grantsOf(dying, 20), 10)
    pool.cutOff.add(connection)
    await pool.lose()
    await pool.time.pass(hold)
    const { current } = (await quota.usage()).requests.perDay
    t.ok(current >= 10 && current <= 20, `${current} for 10`)
  })

  t.test('a restart from an older snapshot counts what was used since', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    t.equal(await grantsOf(quota, 20), 10)
    const restore = await pool.snapshot()
    for (let minute = 0; minute < 4; minute++) {
      await pool.time.pass(61_100)
      t.equal(await grantsOf(quota, 20), 10)
    }
    await restore()
    pool.replicationId = 'second'
    await pool.time.pass(hold)
    const { current } = (await quota.usage()).requests.perDay
    t.ok(current >= 50 && current <= 60, `${current} for 50`)
  })

  t.test('a restart from an older snapshot without any instance counts the most that may have been used', async (t) => {
    const pool = new VirtualPool(t, redis)
    const roomyDay = { ...limits, rpd: 200 }
    const request = ask({ requests: 10, tenant: { id: 'one', limits: { rpm: 10, rpd: 100 } } })
    const quota = await pool.servingInstance({ limits: roomyDay })
    heldBy(await quota.reserve(request))
    const restore = await pool.snapshot()
    for (let minute = 0; minute < 4; minute++) {
      await pool.time.pass(61_100)
      heldBy(await quota.reserve(request))
    }
    await quota.close()
    await restore()
    pool.replicationId = 'second'
    const next = pool.instance({ limits: roomyDay })
    await pool.time.pass(hold)
    const { current } = (await next.usage()).requests.perDay
    t.ok(current >= 50 && current <= 60, `${current} for 50`)
    let ofTenant = 0
    for (let minute = 0; minute < 7; minute++) {
      ofTenant += await grantsOf(next, 10, { ...request, requests: 1 })
      await pool.time.pass(61_100)
    }
    t.ok(ofTenant >= 40 && ofTenant <= 50, `${ofTenant} of the 50 that the tenant had left`)
  })

  t.test('a step of the clock or another ring changes nothing of the day', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    await pool.time.pass(3000)
    heldBy(await quota.reserve(ask({ requests: 5, tokens: 70, tenant })))
    pool.clockAheadMs += 2000
    await pool.time.pass(hold)
    await pool.servingInstance({ limits, transitMs: 1000 })
    await pool.time.pass(hold)
    t.match(await quota.usage(), {
      hold: null,
      requests: { perDay: { current: 5 } },
      tokens: { perDay: { current: 70 } },
    })
    let ofTenant = 0
    for (let minute = 0; minute < 9; minute++) {
      ofTenant += await grantsOf(quota, 5, ask({ tenant }))
      await pool.time.pass(62_000)
    }
    t.equal(ofTenant, 35)
  })

  t.test('the day of a tenant that does not call between two losses survives both', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance({ limits })
    const request = ask({ tenant: { id: 'one', limits: { rpd: 10 } } })
    t.equal(await grantsOf(quota, 20, request), 10)
    for (let loss = 0; loss < 2; loss++) {
      await pool.lose()
      await pool.time.pass(hold)
    }
    t.match(await quota.reserve(request), { granted: false, reason: 'spent', limitType: 'rpd', tenant: 'one' })
  })

  t.test('a day that ended meanwhile is over', async (t) => {
    const pool = new VirtualPool(t, redis, '2037-07-02T06:59:30Z')
    const quota = await pool.servingInstance({ limits })
    t.equal(await grantsOf(quota, 10), 10)
    await pool.lose()
    await pool.time.pass(hold)
    t.match((await quota.usage()).requests.perDay, { current: 0 })
  })
})
