import { once } from 'node:events'
import { freePort, redisServerForTest } from '@knowalledge/testing'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { CircuitBreaker, type CircuitBreakerOptions, redisOptions } from '../src/index.ts'

function breakerForTest(
  t: Test,
  options: Omit<CircuitBreakerOptions, 'onFault' | 'timeoutMs'> & { timeoutMs?: number },
) {
  const states: string[] = []
  const recovered = Promise.withResolvers<void>()
  const breaker = new CircuitBreaker({
    timeoutMs: 2_000,
    ...options,
    onFault: ({ state }) => {
      states.push(state)
      if (state === 'recovered') recovered.resolve()
    },
  })
  t.teardown(() => breaker.close())
  return { breaker, states, recovered: recovered.promise }
}

t.test('passes answers on', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect(redisOptions({ lazyConnect: true }))
  const { breaker, states } = breakerForTest(t, { redis })
  t.equal(await breaker.run(() => redis.set('k', 'v')), 'OK', 'after waiting for the connection')
  t.equal(await breaker.run(() => redis.get('k')), 'v')
  t.same(states, [])
})

t.test('a hung Redis opens the circuit once, and nothing is sent until it answers again', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect({ ...redisOptions(), commandTimeout: 20_000 })
  await once(redis, 'ready')
  const { breaker, states, recovered } = breakerForTest(t, { redis, timeoutMs: 50 })
  server.process.kill('SIGSTOP')
  const late = { message: 'Redis did not answer within 50 ms' }
  const inFlight = [1, 2].map(() =>
    t.rejects(
      breaker.run(() => redis.get('k')),
      late,
    ),
  )
  await Promise.all(inFlight)
  t.equal(breaker.isOpen, true)
  let sent = 0
  await t.rejects(
    breaker.run(async () => sent++),
    late,
  )
  t.equal(sent, 0, 'nothing is sent while the circuit is open')
  server.process.kill('SIGCONT')
  await recovered
  t.equal(breaker.isOpen, false)
  t.equal(await breaker.run(() => redis.get('k')), null)
  t.same(states, ['degraded', 'recovered'])
})

t.test('one failure rejects everything in flight at once', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect(redisOptions())
  await once(redis, 'ready')
  const { breaker, states } = breakerForTest(t, { redis })
  const waiting = breaker.run(() => new Promise<never>(() => {}))
  const failing = breaker.run(() => Promise.reject(new Error('Connection is closed.')))
  await Promise.all([waiting, failing].map((inFlight) => t.rejects(inFlight, { message: 'Connection is closed.' })))
  t.equal(states[0], 'degraded')
})

t.test('closes again after a restart, by the probe that was given', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect(redisOptions())
  await once(redis, 'ready')
  const probes: Promise<unknown>[] = []
  const probe = () => {
    const sent = redis.exists('probe')
    probes.push(sent)
    return sent
  }
  const { breaker, states, recovered } = breakerForTest(t, { redis, probe })
  server.process.kill('SIGKILL')
  await t.rejects(breaker.run(() => redis.get('k')))
  await server.restart()
  await recovered
  t.ok(probes.length > 0)
  t.same(states, ['degraded', 'recovered'])
})

t.test('a value of another type is the fault of its key', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect(redisOptions({ lazyConnect: true }))
  const { breaker, states } = breakerForTest(t, { redis })
  await breaker.run(() => redis.lpush('list', 'x'))
  await t.rejects(
    breaker.run(() => redis.get('list')),
    { message: /^WRONGTYPE/ },
  )
  t.equal(breaker.isOpen, false)
  t.same(states, [])
})

t.test('an operation is sent again when only the connection was impatient', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect(redisOptions())
  const { breaker, states } = breakerForTest(t, { redis })
  let attempts = 0
  const operation = async () => {
    if (++attempts === 1) throw new Error('Command timed out')
    return redis.ping()
  }
  t.equal(await breaker.run(operation), 'PONG')
  t.equal(attempts, 2)
  t.same(states, [])
})

t.test('closing rejects what is in flight and what comes later', async (t) => {
  const redis = new Redis(await freePort(), '127.0.0.1', redisOptions({ lazyConnect: true }))
  redis.on('error', () => {}) // nobody listens there
  t.teardown(() => redis.disconnect())
  const { breaker, states } = breakerForTest(t, { redis })
  const waiting = breaker.run(() => new Promise<never>(() => {}))
  breaker.close()
  await t.rejects(waiting, { message: /given up/ })
  await t.rejects(
    breaker.run(async () => 'late'),
    { message: /given up/ },
  )
  t.same(states, [])
})
