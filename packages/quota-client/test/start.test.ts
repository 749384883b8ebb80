import { redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { createQuotaClient, type QuotaClient, type Reservation } from '../src/index.ts'
import { ask, heldBy, roomy } from './support/requests.ts'
import { VirtualPool } from './support/virtual-redis.ts'
import { type VirtualRuntime, VirtualTime } from './support/virtual-runtime.ts'

interface Instance {
  quota: QuotaClient
  time: VirtualTime
  runtime: VirtualRuntime
}

function starts(t: Test, make: (t: Test) => Promise<Instance>): void {
  const parts = (reservation: Reservation) => reservation.split(2).map((part) => part.start())

  t.test('a grant can be used until transitMs after the call, and so can its parts', async (t) => {
    const { quota, time } = await make(t)
    const whole = heldBy(await quota.reserve(ask({ requests: 2 })))
    const divided = heldBy(await quota.reserve(ask({ requests: 2 }))).split(2)
    for (const passMs of [0, 499, 1]) {
      await time.pass(passMs)
      t.ok(whole.start())
      t.ok(divided.every((part) => part.start()))
    }
    await time.pass(1)
    t.notOk(whole.start())
    t.notOk(divided.some((part) => part.start()))
    t.match((await quota.usage()).requests.perMinute, { current: 4 }, 'they stay charged')
  })

  t.test('a grant cannot be used after the machine was paused, whose clock did not count it', async (t) => {
    const { quota, time, runtime } = await make(t)
    const whole = heldBy(await quota.reserve(ask({ requests: 2 })))
    const other = heldBy(await quota.reserve(ask({ requests: 2 })))
    await time.pass(100)
    await runtime.pauseMachine(2000)
    t.notOk(whole.start())
    t.same(parts(other), [false, false])
  })

  t.test('a clock of the day that is corrected a little changes nothing', async (t) => {
    const { quota, runtime } = await make(t)
    const held = heldBy(await quota.reserve(ask({ requests: 2 })))
    runtime.wallAheadMs += 249
    t.ok(held.start())
    runtime.wallAheadMs -= 500
    t.notOk(held.start(), 'and one that is corrected by more is not trusted, either way')
  })
}

t.test('start in memory', async (t) => {
  starts(t, async () => {
    const time = new VirtualTime('2037-07-01T12:00:00Z')
    const runtime = time.runtime()
    return { quota: createQuotaClient({ pool: 'start', limits: roomy }, runtime), time, runtime }
  })
})

t.test('start in Redis', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  starts(t, async (t) => {
    const pool = new VirtualPool(t, redis)
    const runtime = pool.time.runtime()
    return { quota: await pool.servingInstance({}, runtime), time: pool.time, runtime }
  })

  t.test('a grant counts from when the call was sent, not from when the reply came', async (t) => {
    const pool = new VirtualPool(t, redis)
    const quota = await pool.servingInstance()
    pool.fault = 'hang'
    const verdict = quota.reserve(ask())
    await pool.time.pass(400)
    await pool.resume()
    const reservation = heldBy(await verdict)
    t.ok(reservation.start())
    await pool.time.pass(101)
    t.notOk(reservation.start())
  })
})
