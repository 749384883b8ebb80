import { setTimeout as delay } from 'node:timers/promises'
import { faultProxyForTest, redisServerForTest } from '@knowalledge/testing'
import type { Redis } from 'ioredis'
import t from 'tap'
import { minute, realInstance } from './support/real-instance.ts'
import { ask, heldBy } from './support/requests.ts'
import { until } from './support/until.ts'
import { VirtualPool } from './support/virtual-redis.ts'

const unavailable = { granted: false, degraded: true, reason: 'unavailable', cause: 'unreachable' }

t.test('a Redis that hangs and goes on charges nothing for calls that were given up', async (t) => {
  const server = await redisServerForTest(t)
  const { quota, holds, faults, becomes } = await realInstance(t, server.port)
  const { holds: otherHolds, becomes: otherBecomes } = await realInstance(t, server.port)
  heldBy(await quota.reserve(ask({ requests: 3 })))
  server.process.kill('SIGSTOP')
  t.teardown(() => server.process.kill('SIGCONT'))
  const verdicts = await Promise.all(Array.from({ length: 50 }, () => quota.reserve(ask({ requests: 7 }))))
  for (const verdict of verdicts) t.match(verdict, unavailable)
  t.match(await quota.reserve(ask()), unavailable)
  t.match(quota.health(), { state: 'unavailable', cause: 'unreachable' })
  await otherBecomes('unavailable')
  server.process.kill('SIGCONT')
  await becomes('serving')
  await otherBecomes('serving')
  heldBy(await quota.reserve(ask()))
  t.match((await quota.usage()).requests.perDay, { current: 4 })
  t.same([faults[0], faults.at(-1)], ['degraded', 'recovered'])
  t.same([holds, otherHolds], [[], []])
})

t.test('a call that Redis carries out after its caller gave up takes nothing', async (t) => {
  const server = await redisServerForTest(t)
  const pool = new VirtualPool(t, server.connect())
  const quota = await pool.servingInstance()
  const released = heldBy(await quota.reserve(ask({ requests: 3 })))
  for (const [hangsMs, charged] of [
    [600, 3],
    [499, 7],
  ] as const) {
    pool.fault = 'hang'
    const verdict = quota.reserve(ask({ requests: 7 }))
    if (charged === 7) released.release()
    await pool.time.pass(hangsMs)
    await pool.resume()
    t.equal((await verdict).granted, charged === 7)
    await pool.time.pass(1000)
    t.match((await quota.usage()).requests.perDay, { current: charged })
  }
})

t.test('cuts while reservations, overruns and releases are on their way', async (t) => {
  const server = await redisServerForTest(t)
  const proxy = await faultProxyForTest(t, server.port)
  const { quota, redis, holds, becomes } = await realInstance(t, proxy.port)
  const { quota: watching } = await realInstance(t, server.port)
  let [kept, charged, lost] = [0, 0, 0]
  for (let round = 0; round < 8; round++) {
    await becomes('serving')
    const [overrun, released] = await Promise.all([1, 2].map(() => quota.reserve(ask({ requests: 2, tokens: 10 }))))
    if (overrun?.granted) {
      overrun.reservation.settle(110)
      kept += 2
      charged += 110
    }
    if (released?.granted) {
      released.reservation.release()
      lost += 2
    }
    const closed = closing(redis)
    if (round % 2 === 0) proxy.mode = 'cut-on-reply'
    const onTheWay = Promise.all(Array.from({ length: 5 }, () => quota.reserve(ask({ tokens: 1 }))))
    if (round % 2 === 1) proxy.cut()
    for (const verdict of await onTheWay) {
      if (verdict.granted) kept += 1
      else lost += 1
    }
    await closed
  }
  await becomes('serving')
  await until(async () => (await watching.usage()).tokens.perDay.current >= charged)
  heldBy(await quota.reserve(ask())) // takes along what waits
  const { requests, tokens } = await watching.usage()
  t.ok(requests.perDay.current >= kept + 1, `${requests.perDay.current} for ${kept + 1} that are kept`)
  t.ok(requests.perDay.current <= kept + 1 + lost, `and ${lost} of which nobody knows`)
  t.ok(tokens.perDay.current >= charged)
  t.same(holds, [])
})

t.test('a peer that vanished without a word is given up for a new connection', async (t) => {
  const server = await redisServerForTest(t)
  const proxy = await faultProxyForTest(t, server.port)
  const { quota, redis, holds, becomes } = await realInstance(t, proxy.port, { transitMs: 100 })
  const closed = closing(redis)
  proxy.mode = 'swallow-requests'
  await becomes('unavailable')
  await closed
  proxy.mode = 'pass'
  await becomes('serving')
  heldBy(await quota.reserve(ask()))
  t.same(holds, [])
})

t.test('replies that are late, but not too late, are used', async (t) => {
  const server = await redisServerForTest(t)
  const proxy = await faultProxyForTest(t, server.port)
  const { quota, holds } = await realInstance(t, proxy.port, { transitMs: 20_000 })
  proxy.delayMs = minute.windowMs / 60
  const verdicts = []
  for (let call = 0; call < 5; call++) {
    verdicts.push(quota.reserve(ask()))
    await delay(1)
  }
  for (const verdict of await Promise.all(verdicts)) t.ok(heldBy(verdict).start())
  t.same(holds, [])
})

/** When its connection has closed; `once` of node:events would reject with the error that closed it. */
function closing(redis: Redis): Promise<void> {
  return new Promise((resolve) => redis.once('close', () => resolve()))
}
