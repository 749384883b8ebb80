import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { keyNames } from '../src/redis/script.ts'
import { cycleMs, inRedis, Log, limits, named, usage, volley } from './support/waiting.ts'

const redis = (await redisServerForTest(t)).connect()
const fleet = inRedis(redis)

t.test('a call that comes while another one is joining joins right after it', async (t) => {
  const { time, quotas, pool } = await fleet(t)
  const log = new Log(time)
  volley(log, quotas, named('first', 15))
  await time.pass(100)
  if (pool) pool.fault = 'hang'
  log.call(quotas[0], 'one')
  await time.pass(10)
  log.call(quotas[0], 'two')
  await time.pass(10)
  await pool?.resume()
  await time.pass(10)
  t.equal(log.told.get('two')?.length, 1, 'and not with the next heartbeat')
})

t.test('a call that gives up after a lost reply leaves the line', async (t) => {
  const { time, quotas, pool } = await fleet(t)
  const log = new Log(time)
  volley(log, quotas, named('first', 15))
  await time.pass(100)
  const leaving = new AbortController()
  if (pool) pool.fault = 'lose-replies'
  log.call(quotas[0], 'leaves', { maxWaitMs: 600_000, signal: leaving.signal })
  await time.pass(600)
  t.equal(log.told.get('leaves')?.length, 0, 'it knows nothing of its place')
  leaving.abort(new Error('gone'))
  if (pool) pool.fault = 'none'
  await time.pass(3000)
  t.equal((await usage(time, quotas[1])).queue.interactive.length, 0)
})

t.test('a duplicate of a claim brings no call back into line', async (t) => {
  const { time, quotas, pool } = await fleet(t)
  const log = new Log(time)
  volley(log, quotas, named('first', 15))
  await time.pass(100)
  const leaving = new AbortController()
  log.call(quotas[0], 'leaves', { maxWaitMs: 600_000, signal: leaving.signal })
  await time.pass(50)
  const joins = pool?.calls.findLast((args) => String(args.at(-1)).includes('"named":[['))
  leaving.abort(new Error('gone'))
  await time.pass(50)
  if (joins) await pool?.execute(joins)
  t.equal((await usage(time, quotas[1])).queue.interactive.length, 0)
})

t.test('calls that a rollback brings back into line give way, as their instance knows them no more', async (t) => {
  const { time, quotas, pool } = await fleet(t)
  const log = new Log(time)
  volley(log, quotas, named('first', 15))
  await time.pass(100)
  const leaving = new AbortController()
  volley(log, quotas.slice(0, 1), named('leaves', 10), { signal: leaving.signal })
  await time.pass(100)
  const rollBack = await pool?.snapshot([':interactive', ':batch', ':rounds'])
  leaving.abort(new Error('gone'))
  await time.pass(3000)
  await rollBack?.()
  volley(log, quotas, named('stays', 15))
  await time.pass(cycleMs + 5000)
  t.equal(log.starts.length, 30)
  t.equal((await usage(time, quotas[0])).queue.interactive.length, 0)
})

t.test('a call that a rollback brings back and its instance is granted costs nothing', async (t) => {
  const { time, quotas, pool } = await fleet(t)
  const log = new Log(time)
  volley(log, quotas, named('first', 15))
  await time.pass(100)
  const leaving = new AbortController()
  volley(log, quotas.slice(0, 1), named('stays', 2))
  volley(log, quotas.slice(0, 1), named('leaves', 10), { signal: leaving.signal })
  await time.pass(100)
  const rollBack = await pool?.snapshot([':interactive'])
  leaving.abort(new Error('gone'))
  await time.pass(3000)
  await rollBack?.()
  await time.pass(cycleMs + 5000)
  t.equal((await usage(time, quotas[1])).requests.perDay.current, 17)
})

t.test('calls that give up move nobody before them', async (t) => {
  const { time, quotas } = await fleet(t)
  const log = new Log(time)
  volley(log, quotas, named('first', 15))
  await time.pass(100)
  volley(log, quotas.slice(0, 1), named('stays', 3))
  await time.pass(100)
  const leaving = new AbortController()
  volley(log, quotas.slice(0, 1), named('leaves', 15), { signal: leaving.signal })
  await time.pass(100)
  leaving.abort(new Error('gone'))
  await time.pass(100)
  t.same(
    log.told.get('stays2')?.map(({ position }) => position),
    [3],
  )
})

t.test('the turns of clients are forgotten when nobody waits', async (t) => {
  const { time, quotas, pool } = await fleet(t)
  const log = new Log(time)
  volley(log, quotas, named('first', 15))
  await time.pass(100)
  volley(log, quotas, named('waits', 3), { client: 'a' })
  await time.pass(100)
  t.equal(await redis.exists(`${pool?.key}:rounds`), 1)
  await time.pass(cycleMs + 2000)
  t.equal(log.starts.length, 18)
  t.equal(await redis.exists(`${pool?.key}:rounds`), 0)
})

t.test('of a pause until the day ends hundreds that wait learn at once, on each instance', async (t) => {
  const { time, quotas } = await fleet(t)
  const log = new Log(time)
  volley(log, quotas, named('first', 15))
  await time.pass(100)
  volley(log, quotas, named('waits', 300), { maxWaitMs: 3_600_000 })
  await time.pass(2000)
  void quotas[0]?.pause({ limitType: 'rpd' })
  await time.pass(1500)
  t.equal(log.refusals.length, 300)
  for (const { verdict } of log.refusals) t.match(verdict, { granted: false, reason: 'paused', limitType: 'rpd' })
  await time.pass(3000)
  t.equal((await usage(time, quotas[1])).queue.interactive.length, 0)
})

t.test('hundreds that wait outlive a Redis that is lost and comes back empty', async (t) => {
  const { time, quotas, pool } = await fleet(t, { limits: { ...limits, rpm: 100 } })
  const log = new Log(time)
  volley(log, quotas, named('first', 100))
  await time.pass(100)
  volley(log, quotas, named('waits', 300))
  await time.pass(10_000)
  if (pool) pool.fault = 'unreachable'
  await time.pass(20_000)
  await pool?.lose(keyNames)
  if (pool) pool.fault = 'none'
  await time.pass(5 * cycleMs)
  t.same(log.refusals, [])
  t.equal(log.starts.length, 400)
})

// Which instance claims first is open; the one with most of the calls has to, so each does once.
for (const [busy, other] of [
  [0, 1],
  [1, 0],
] as const)
  t.test(`room that is kept for a call counts as its start: a batch call does not take it, ${busy}`, async (t) => {
    const { time, quotas } = await fleet(t, { limits: { ...limits, rpm: 25 } })
    const log = new Log(time)
    const calls = (at: number, names: string[], changes = {}) => volley(log, quotas.slice(at, at + 1), names, changes)
    calls(busy, named('first', 20))
    await time.pass(30_000)
    calls(busy, named('second', 5))
    await time.pass(100)
    calls(busy, named('quick', 18))
    await time.pass(100)
    calls(other, ['slow'])
    await time.pass(100)
    calls(busy, named('later', 2))
    await time.pass(100)
    calls(other, ['batch'], { priority: 'batch' })
    await time.pass(cycleMs - 28_000)
    t.same(log.names.slice(25).toSorted(), ['batch', ...named('quick', 18), 'slow'].toSorted())
  })
