import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { redisServerForTest } from '@knowalledge/testing'
import t from 'tap'
import { createQuotaClient } from '../src/index.ts'
import { ask, heldBy, roomy } from './support/contract.ts'
import { patience, patientConnection } from './support/patience.ts'

function instance(...args: (string | number)[]) {
  return fork(new URL('./support/fleet-process.ts', import.meta.url), args.map(String), { execArgv: [] })
}

t.test('two instances that hammer each get at least two fifths of the grants', async (t) => {
  const server = await redisServerForTest(t)
  const windowMs = 1500
  // The second comes half a window later, when the first has taken everything there was.
  const untilMs = Date.now() + 1000 + 6 * windowMs
  const plays = [Date.now() + 1000, Date.now() + 1000 + windowMs / 2].map((fromMs) =>
    once(instance('hammer', server.port, windowMs, fromMs, untilMs), 'message'),
  )
  const [[first], [second]] = (await Promise.all(plays)) as [[number], [number]]
  const share = Math.min(first, second) / (first + second)
  t.ok(share >= 0.4, `${first} and ${second}: the smaller part is ${share.toFixed(3)}`)
  t.ok(first + second >= 0.95 * 5 * 100, 'and nothing is left lying')
})

t.test('the estimates of an instance that was killed stay charged, and leave in time', async (t) => {
  const server = await redisServerForTest(t)
  const windowMs = 2000
  const child = instance('hold', server.port, windowMs)
  await once(child, 'message')
  child.kill('SIGKILL')
  await once(child, 'exit')
  const limits = { ...roomy, rpm: 10 }
  const quota = createQuotaClient({ ...patience, redis: patientConnection(server), pool: 'fleet', limits, windowMs })
  t.match(await quota.usage(), { requests: { perMinute: { current: 6 } }, tokens: { perMinute: { current: 6000 } } })
  const refused = await quota.reserve(ask({ requests: 10 }))
  if (refused.granted) return t.fail('six of ten are held')
  await delay(refused.retryAfterMs)
  t.ok((await quota.reserve(ask({ requests: 10 }))).granted)
  t.match((await quota.usage()).tokens.perMinute, { current: 0 })
  await quota.close()
})

t.test('a client that only reads is not an instance', async (t) => {
  const server = await redisServerForTest(t)
  const make = () => createQuotaClient({ ...patience, redis: patientConnection(server), pool: 'count', limits: roomy })
  const [one, other, reader] = [make(), make(), make()]
  await reader.usage()
  heldBy(await one.reserve(ask()))
  heldBy(await other.reserve(ask()))
  while ((await reader.usage()).instances < 2) await delay(5)
  for (let reads = 0; reads < 20; reads++) await reader.usage()
  t.equal((await reader.usage()).instances, 2)
  await Promise.all([one, other, reader].map((quota) => quota.close()))
})

t.test('several turns of the event loop that overlap share one Redis without adding delay to each other', async (t) => {
  const server = await redisServerForTest(t)
  const redis = patientConnection(server)
  const quota = createQuotaClient({ ...patience, redis, pool: 'turns', limits: { ...roomy, rpm: 500 } })
  heldBy(await quota.reserve(ask())).release() // the first one also makes the state
  await redis.config('RESETSTAT')
  const asked: Promise<boolean>[] = []
  for (let turn = 0; turn < 100; turn++) {
    for (let call = 0; call < 7; call++) asked.push(quota.reserve(ask()).then((verdict) => verdict.granted))
    await new Promise(setImmediate)
  }
  t.equal((await Promise.all(asked)).filter(Boolean).length, 500)
  const stats = await redis.info('commandstats')
  const calls = [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  )
  t.ok(calls <= 110, `${calls} script calls for 700 questions in 100 turns`)
  await quota.close()
})
