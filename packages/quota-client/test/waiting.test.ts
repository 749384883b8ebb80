import { redisServerForTest } from '@knowalledge/testing'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createQuotaClient, type QuotaClient } from '../src/index.ts'
import { keyNames } from '../src/redis/script.ts'
import { ask } from './support/requests.ts'
import { cycleMs, inMemory, inRedis, Log, limits, type MakeFleet, named, usage, volley } from './support/waiting.ts'

async function promises(t: Test, fleet: MakeFleet): Promise<void> {
  t.test(
    'calls that do not fit start in their order as soon as they fit, at the time that they were told',
    async (t) => {
      const { time, quotas } = await fleet(t)
      const log = new Log(time)
      for (const name of named('', 40)) {
        volley(log, [quotas[Number(name) % quotas.length] as QuotaClient], [name])
        await time.pass(10)
      }
      await time.pass(3 * cycleMs)
      t.same(log.overtaken(named('', 40)), [])
      t.ok(log.startOf('14') < 200)
      for (const [at, { atMs }] of log.starts.entries())
        t.ok(atMs <= Math.floor(at / 15) * cycleMs + 600, `call ${at} started at ${atMs} ms`)
      for (const [name, told] of log.told)
        for (const { startsInMs, atMs } of told)
          t.ok(Math.abs(atMs + startsInMs - log.startOf(name)) <= 1000, `${name} was told ${atMs + startsInMs}`)
      t.equal(log.told.get('39')?.[0]?.position, 25)
      t.same(log.told.get('39')?.at(-1)?.position, 10, 'it moved up with the second volley')
      t.equal(log.told.get('0')?.length, 0, 'a call that starts at once is told nothing')
    },
  )

  t.test('a call whose start would come too late is refused at once, with the true wait', async (t) => {
    const { time, quotas } = await fleet(t)
    const log = new Log(time)
    volley(log, quotas, named('', 30))
    await time.pass(1000)
    log.call(quotas[0], 'late', { maxWaitMs: 100_000 })
    log.call(quotas[0], 'plain', {})
    await time.pass(0)
    t.same(log.refusals.map(({ name }) => name).toSorted(), ['late', 'plain'], 'neither overtakes those that wait')
    for (const { verdict } of log.refusals) {
      t.match(verdict, { granted: false, reason: 'spent', limitType: 'rpm', limit: 15 })
      t.ok(!verdict.granted && Math.abs(verdict.retryAfterMs - 2 * cycleMs + 1000) < 700, JSON.stringify(verdict))
    }
    log.call(quotas[0], 'patient', { maxWaitMs: 122_000 })
    await time.pass(122_000)
    t.ok(Math.abs(log.startOf('patient') - 2 * cycleMs) < 1500)
  })

  t.test('interactive calls go before batch calls, which are spread over a window', async (t) => {
    const { time, quotas } = await fleet(t)
    const log = new Log(time)
    volley(log, quotas, named('first', 15))
    await time.pass(100)
    for (const name of named('batch', 30)) {
      volley(log, [quotas[log.told.size % quotas.length] as QuotaClient], [name], { priority: 'batch' })
      await time.pass(10)
    }
    await time.pass(70_000)
    for (const name of ['one', 'two', 'three']) {
      const at = log.nowMs
      log.call(quotas[0], name)
      await time.pass(11_000)
      t.ok(log.startOf(name) - at <= 10_000, `${name} started after ${log.startOf(name) - at} ms`)
    }
    await time.pass(180_000)
    t.equal(log.starts.length, 48)
    const batch = log.starts.filter(({ name }) => name.startsWith('batch'))
    t.same(log.overtaken(named('batch', 30)), [])
    for (const [at, { atMs }] of batch.entries()) {
      const before = batch[at - 1]?.atMs ?? 0
      t.ok(atMs - before >= 4000, `${atMs - before} ms after the one before it`)
    }
    t.ok((batch.at(-1)?.atMs ?? 0) < 61_000 + 33 * 4100 + 5000, 'nothing is wasted')
  })

  t.test('batch calls do not starve: one start in twenty is theirs', async (t) => {
    const { time, quotas } = await fleet(t)
    const log = new Log(time)
    volley(log, quotas, named('first', 15))
    await time.pass(100)
    volley(log, quotas, named('batch', 3), { priority: 'batch' })
    volley(log, quotas, named('interactive', 60))
    await time.pass(5 * cycleMs)
    const at = log.names.slice(15).flatMap((name, at) => (name.startsWith('batch') ? [at] : []))
    // One of a volley has to wait for its credit, and two instances do not claim in the same millisecond.
    t.ok(at.length === 3 && at.every((start, nth) => start <= (nth + 1) * 30), String(at))
  })

  t.test('clients take turns', async (t) => {
    const { time, quotas } = await fleet(t)
    const log = new Log(time)
    volley(log, quotas, named('first', 15))
    await time.pass(100)
    volley(log, quotas.slice(0, 1), named('a', 10), { client: 'a' })
    await time.pass(100)
    volley(log, quotas.slice(0, 1), named('b', 3), { client: 'b' })
    await time.pass(100)
    volley(log, quotas.slice(0, 1), named('c', 1), { client: 'c' })
    await time.pass(2 * cycleMs)
    t.same(log.names.slice(15), ['a0', 'b0', 'c0', 'a1', 'b1', 'a2', 'b2', ...named('a', 10).slice(3)])
  })

  t.test('the starts of batch calls count once for each that waits', async (t) => {
    const { time, quotas } = await fleet(t)
    const log = new Log(time)
    volley(log, quotas.slice(0, 1), named('first', 15))
    await time.pass(100)
    volley(log, quotas.slice(0, 1), ['batch'], { priority: 'batch' })
    await time.pass(100)
    volley(log, quotas.slice(0, 1), named('interactive', 30))
    await time.pass(100)
    t.equal(log.told.get('interactive29')?.[0]?.position, 31)
  })

  t.test('a call that its tenant’s limit held back does not set the turns back', async (t) => {
    const { time, quotas } = await fleet(t)
    const log = new Log(time)
    const line = quotas.slice(0, 1)
    const tenant = { id: 'school', limits: { rpm: 1 } }
    volley(log, line, named('first', 14))
    await time.pass(30_000)
    volley(log, line, named('school', 2), { tenant, client: 'a' })
    await time.pass(100)
    volley(log, line, named('b', 20), { client: 'b' })
    await time.pass(cycleMs - 28_000)
    volley(log, line, ['earlier'], { client: 'c' })
    await time.pass(30_000)
    t.ok(log.names.includes('school1'))
    volley(log, line, ['later'], { client: 'd' })
    await time.pass(cycleMs)
    t.same(log.names.slice(30, 33), ['earlier', 'later', 'b14'])
  })

  t.test('a client that gives up leaves the line, and those behind it move up', async (t) => {
    const { time, quotas } = await fleet(t)
    const log = new Log(time)
    volley(log, quotas, named('first', 15))
    await time.pass(100)
    const leaving = new AbortController()
    volley(log, quotas, named('leaves', 15), { signal: leaving.signal })
    await time.pass(100)
    volley(log, quotas, named('stays', 3))
    await time.pass(2000)
    t.equal((await usage(time, quotas[0])).queue.interactive.length, 18)
    leaving.abort(new Error('gone'))
    await time.pass(2000)
    t.match(log.failures, Array(15).fill({ message: 'gone' }))
    const { queue, requests } = await usage(time, quotas[0])
    t.equal(queue.interactive.length, 3)
    t.ok(Math.abs(queue.interactive.startsInMs + log.nowMs - cycleMs) < 700)
    await time.pass(cycleMs)
    t.ok(log.startOf('stays2') < cycleMs + 600, 'they did not wait for a second window')
    t.equal(requests.perDay.current, 15, 'nothing was charged for those that left')
  })

  t.test('a call that its own tenant’s limit blocks keeps its place and lets others start', async (t) => {
    const { time, quotas } = await fleet(t)
    const log = new Log(time)
    const tenant = { id: 'school', limits: { rpm: 2 } }
    volley(log, quotas.slice(0, 1), named('school', 5), { tenant })
    await time.pass(100)
    volley(log, quotas.slice(0, 1), named('other', 3))
    await time.pass(100)
    t.same(log.names, ['school0', 'school1', ...named('other', 3)])
    await time.pass(3 * cycleMs)
    t.same(log.names.slice(5), ['school2', 'school3', 'school4'])
    t.ok(Math.abs(log.startOf('school3') - cycleMs) < 1100, String(log.startOf('school3')))
    t.ok(Math.abs(log.startOf('school4') - 2 * cycleMs) < 1600, String(log.startOf('school4')))
  })

  t.test('a pause makes all wait longer, or refuses those that cannot', async (t) => {
    const { time, quotas } = await fleet(t)
    const log = new Log(time)
    volley(log, quotas, named('first', 15))
    await time.pass(100)
    volley(log, quotas, named('short', 3), { maxWaitMs: 70_000 })
    volley(log, quotas, named('long', 3))
    await time.pass(1000)
    void quotas[0]?.pause({ limitType: 'rpm', untilMs: time.nowMs + 100_000 })
    await time.pass(2000)
    t.equal(log.refusals.length, 3)
    for (const { verdict, name } of log.refusals) {
      t.match(name, /^short/)
      t.match(verdict, { granted: false, reason: 'paused', limitType: 'rpm' })
    }
    await time.pass(120_000)
    t.equal(log.starts.length, 18)
    t.ok(log.startOf('long0') >= 101_100)
  })

  t.test('the line is bounded, and batch calls are refused first', async (t) => {
    const { time, quotas } = await fleet(t, { maxQueueLength: 10 })
    const log = new Log(time)
    volley(log, quotas.slice(0, 1), named('first', 15))
    await time.pass(100)
    volley(log, quotas.slice(0, 1), named('batch', 12), { priority: 'batch' })
    await time.pass(100)
    t.equal(log.refusals.length, 3)
    volley(log, quotas.slice(0, 1), named('interactive', 3))
    await time.pass(100)
    t.equal(log.refusals.length, 5)
  })
}

t.test('the waiting line in memory', (t) => promises(t, inMemory))

t.test('the waiting line in Redis', async (t) => {
  const server = await redisServerForTest(t)
  const fleet = inRedis(server.connect())
  t.test('over two instances', (t) => promises(t, fleet))

  t.test('tickets of an instance that is killed are dropped', async (t) => {
    const { time, quotas, pool, connections = [] } = await fleet(t, { instances: 3 })
    const log = new Log(time)
    volley(log, quotas, named('first', 15))
    await time.pass(100)
    volley(log, quotas.slice(2), named('killed', 10))
    await time.pass(100)
    volley(log, quotas.slice(0, 2), named('stays', 10))
    await time.pass(1000)
    pool?.cutOff.add(connections[2] as Redis)
    await time.pass(cycleMs + 2000)
    t.same(log.names.slice(15).toSorted(), named('stays', 10))
    t.equal((await usage(time, quotas[0])).queue.interactive.length, 0)
  })

  t.test('an instance that stands still is passed, and goes on where it was', async (t) => {
    const { time, quotas, pool, connections = [] } = await fleet(t)
    const log = new Log(time)
    volley(log, quotas, named('first', 15))
    await time.pass(100)
    volley(log, quotas.slice(1), named('slow', 15))
    await time.pass(100)
    volley(log, quotas.slice(0, 1), named('quick', 10))
    await time.pass(60_000)
    pool?.cutOff.add(connections[1] as Redis)
    await time.pass(5000)
    t.equal(log.names.filter((name) => name.startsWith('quick')).length, 10, 'others take the room')
    pool?.cutOff.clear()
    await time.pass(2000)
    t.ok(log.names.includes('slow0'))
    await time.pass(cycleMs + 2000)
    t.equal(log.starts.length, 40)
  })

  for (const lost of [[':interactive'], [':rounds'], keyNames])
    t.test(`a line that is lost is joined again: ${lost}`, async (t) => {
      const { time, quotas, pool } = await fleet(t)
      const log = new Log(time)
      volley(log, quotas, named('first', 15))
      await time.pass(100)
      volley(log, quotas, named('waits', 20))
      await time.pass(1000)
      await pool?.lose(lost)
      await time.pass(3 * cycleMs + 5000)
      t.equal(log.starts.length, 35)
      t.same(log.refusals, [])
    })

  t.test('a hold makes all wait longer, and says so', async (t) => {
    const { time, quotas, pool } = await fleet(t)
    const log = new Log(time)
    volley(log, quotas, named('first', 15))
    await time.pass(100)
    volley(log, quotas, named('waits', 20))
    await time.pass(100)
    volley(log, quotas, named('impatient', 5), { maxWaitMs: 125_000 })
    await time.pass(30_000)
    await pool?.restart()
    await time.pass(2500)
    const { startsInMs = 0 } = log.told.get('waits0')?.at(-1) ?? {}
    t.ok(startsInMs > 58_000 && startsInMs < 64_000, JSON.stringify(log.told.get('waits0')))
    t.ok(log.refusals.length > 0)
    for (const { verdict } of log.refusals) t.match(verdict, { granted: false, reason: 'hold', cause: 'restart' })
    await time.pass(3 * cycleMs)
    t.equal(log.starts.length + log.refusals.length, 40)
    t.same(log.names.slice(15, 35).toSorted(), named('waits', 20).toSorted())
  })

  t.test('while Redis cannot be used all wait, until their time is over', async (t) => {
    const { time, quotas, pool } = await fleet(t)
    const log = new Log(time)
    if (pool) pool.fault = 'unreachable'
    await time.pass(2000)
    log.call(quotas[0], 'short', { maxWaitMs: 10_000 })
    log.call(quotas[0], 'long', { maxWaitMs: 30_000 })
    await time.pass(20_000)
    t.match(log.refusals, [
      { name: 'short', atMs: 12_000, verdict: { granted: false, reason: 'unavailable', cause: 'unreachable' } },
    ])
    if (pool) pool.fault = 'none'
    await time.pass(8000)
    t.same(log.names, ['long'])
  })

  t.test('a lost reply loses no call', async (t) => {
    const { time, quotas, pool } = await fleet(t)
    const log = new Log(time)
    volley(log, quotas, named('first', 15))
    await time.pass(100)
    if (pool) pool.fault = 'lose-replies'
    volley(log, quotas, named('waits', 6))
    await time.pass(300)
    if (pool) pool.fault = 'none'
    await time.pass(2 * cycleMs)
    t.equal(log.starts.length, 21)
  })
})

t.test('rejects what is out of bounds before anything is sent', async (t) => {
  const quota = createQuotaClient({ pool: 'bounds', limits })
  await t.rejects(quota.reserve(ask({ maxWaitMs: -1 })), /maxWaitMs must be a whole number/)
  await t.rejects(quota.reserve(ask({ maxWaitMs: 0.5 })), RangeError)
  await t.rejects(quota.reserve(ask({ maxWaitMs: 1, client: 'x'.repeat(129) })), /client must have at most 128/)
  await t.rejects(quota.reserve(ask({ maxWaitMs: 1, signal: AbortSignal.abort(new Error('gone')) })), /gone/)
  await quota.close()
})
