import { clusterOptions, redisOptions } from '@knowalledge/redis-kit'
import { freePort, redisServerForTest } from '@knowalledge/testing'
import { Cluster, Redis } from 'ioredis'
import t from 'tap'
import { createQuotaClient, type QuotaClientOptions } from '../src/index.ts'
import { ask, heldBy, lenientConnection, longTimeout, roomy } from './support/requests.ts'
import { until } from './support/until.ts'

t.test('options out of bounds are refused with the field and its bounds', async (t) => {
  const make = (options: Partial<QuotaClientOptions>) => createQuotaClient({ pool: 'bad', limits: roomy, ...options })
  const cases: [Partial<QuotaClientOptions>, string][] = [
    [{ pool: '' }, 'pool must be 1 to 64 letters, digits, dots, colons, dashes or underscores, not '],
    [{ pool: 'a}b' }, 'pool must be 1 to 64 letters, digits, dots, colons, dashes or underscores, not a}b'],
    [{ limits: { ...roomy, rpm: 0 } }, 'limits.rpm must be a whole number from 1 to 1000000000000, not 0'],
    [{ limits: { ...roomy, rpd: 1.5 } }, 'limits.rpd must be a whole number from 1 to 1000000000000, not 1.5'],
    [{ limits: { ...roomy, tpm: Number.NaN } }, 'limits.tpm must be a whole number from 1 to 1000000000000, not NaN'],
    [
      { limits: { ...roomy, tpd: 1e13 } },
      'limits.tpd must be a whole number from 1 to 1000000000000, not 10000000000000',
    ],
    [{ safetyMargin: 0 }, 'safetyMargin must be above 0 and at most 1, not 0'],
    [{ safetyMargin: 1.1 }, 'safetyMargin must be above 0 and at most 1, not 1.1'],
    [{ windowMs: 239 }, 'windowMs must be a whole number from 240 to 86400000, not 239'],
    [{ transitMs: 0 }, 'transitMs must be a whole number from 1 to 60000, not 0'],
    [{ transitMs: 60_001 }, 'transitMs must be a whole number from 1 to 60000, not 60001'],
    [{ outage: { rpm: 0, maxInstances: 3 } }, 'outage.rpm must be a whole number from 1 to 333, not 0'],
    [{ outage: { rpm: 500, maxInstances: 2 } }, 'outage.rpm must be a whole number from 1 to 499, not 500'],
    [{ outage: { rpm: 1, maxInstances: 0 } }, 'outage.maxInstances must be a whole number from 1 to 1000, not 0'],
  ]
  for (const [options, message] of cases) t.throws(() => make(options), { name: 'RangeError', message })
  t.throws(() => make({ dayTimeZone: 'Mars/Olympus' }), { name: 'RangeError', message: /Mars\/Olympus/ })
})

t.test('a connection that sends commands again after a cut is refused', async (t) => {
  const message = 'redis must not resend commands: make it with redisOptions() or clusterOptions() of redis-kit'
  const port = await freePort()
  const make = (redis: Redis | Cluster) => createQuotaClient({ redis, pool: 'resends', limits: roomy })
  const resending = new Redis(port, '127.0.0.1', { lazyConnect: true })
  t.throws(() => make(resending), { name: 'RangeError', message })
  const cluster = new Cluster([{ host: '127.0.0.1', port }], { lazyConnect: true })
  t.throws(() => make(cluster), { name: 'RangeError', message })

  for (const accepted of [
    new Redis(port, '127.0.0.1', redisOptions({ lazyConnect: true, autoResendUnfulfilledCommands: true })),
    new Cluster([{ host: '127.0.0.1', port }], clusterOptions({ lazyConnect: true })),
  ]) {
    accepted.on('error', () => {}) // nobody listens there
    await make(accepted).close()
    accepted.disconnect()
  }
})

t.test('a connection may be handed over before it is ready', async (t) => {
  const server = await redisServerForTest(t)
  for (const [name, options] of [
    ['still connecting', {}],
    ['not yet told to connect', { lazyConnect: true }],
  ] as const)
    t.test(name, async (t) => {
      const redis = server.connect({ ...lenientConnection(), ...options })
      t.not(redis.status, 'ready')
      const pool = name.replaceAll(' ', '-')
      const quota = createQuotaClient({ ...longTimeout, redis, pool, limits: roomy, newPool: 'open' })
      heldBy(await quota.reserve(ask()))
      t.match(await quota.usage(), { degraded: false, requests: { perMinute: { current: 1 } } })
      await quota.close()
    })
})

t.test('without a Redis calls are refused at once, and served when there is one', async (t) => {
  const port = await freePort()
  const redis = new Redis(port, '127.0.0.1', redisOptions())
  redis.on('error', () => {}) // nobody listens there yet
  t.teardown(() => redis.disconnect())
  const { promise: recovered, resolve } = Promise.withResolvers<void>()
  const faults: string[] = []
  const quota = createQuotaClient({
    redis,
    pool: 'later',
    limits: roomy,
    windowMs: 6000,
    newPool: 'open',
    onFault: ({ state }) => {
      faults.push(state)
      if (state === 'recovered') resolve()
    },
  })
  t.teardown(() => quota.close())
  const unavailable = { granted: false, degraded: true, reason: 'unavailable' }
  t.match(await quota.reserve(ask()), unavailable)
  t.match(await quota.usage(), { degraded: true, instances: 0 })
  t.match(quota.health(), { state: 'unavailable', cause: 'unreachable' })
  const server = await redisServerForTest(t, ['--port', String(port)])
  t.equal(server.process.exitCode, null)
  await recovered
  await until(async () => (await quota.reserve(ask())).granted)
  t.same(faults.slice(0, 2), ['degraded', 'recovered'])
})

t.test('a closed client reserves nothing', async (t) => {
  const server = await redisServerForTest(t)
  const quota = createQuotaClient({
    ...longTimeout,
    redis: server.connect(lenientConnection()),
    pool: 'c',
    limits: roomy,
  })
  await quota.close()
  await t.rejects(quota.reserve(ask()), { message: /closed/ })
})
