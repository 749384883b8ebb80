import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { UnavailableCause } from '@knowalledge/redis-kit'
import { faultProxyForTest, redisServerForTest } from '@knowalledge/testing'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { QuotaClient } from '../src/index.ts'
import { realInstance } from './support/real-instance.ts'
import { ask, heldBy } from './support/requests.ts'
import { until } from './support/until.ts'
import { VirtualPool } from './support/virtual-redis.ts'

interface Refusal {
  name: string
  cause: UnavailableCause
  serverArguments?: string[]
  refuse: (redis: Redis, t: Test) => Promise<unknown>
  accept: (redis: Redis, t: Test) => Promise<unknown>
}

const refusals: Refusal[] = [
  {
    name: 'whose memory is full under noeviction',
    cause: 'full',
    refuse: (redis) => redis.config('SET', 'maxmemory', '1'),
    accept: (redis) => redis.config('SET', 'maxmemory', '0'),
  },
  {
    name: 'that became a replica',
    cause: 'read_only',
    async refuse(redis, t) {
      const master = await faultProxyForTest(t, 1) // keeps its port, lest the server of another test be there
      master.mode = 'refuse'
      await redis.replicaof('127.0.0.1', master.port)
    },
    accept: (redis) => redis.replicaof('NO', 'ONE'),
  },
  {
    name: 'that misses its replicas',
    cause: 'no_replicas',
    refuse: (redis) => redis.config('SET', 'min-replicas-to-write', '1'),
    accept: (redis) => redis.config('SET', 'min-replicas-to-write', '0'),
  },
  {
    name: 'that cannot save its data',
    cause: 'not_persisted',
    serverArguments: ['--save', '3600 1', '--enable-protected-configs', 'yes'],
    async refuse(redis, t) {
      const directory = await temporaryDirectory(t)
      await redis.config('SET', 'dir', directory)
      await rm(directory, { recursive: true })
      await save(redis, 'err')
    },
    async accept(redis, t) {
      await redis.config('SET', 'dir', await temporaryDirectory(t))
      await save(redis, 'ok')
    },
  },
]

for (const { name, cause, serverArguments, refuse, accept } of refusals)
  t.test(`a Redis ${name}`, async (t) => {
    const server = await redisServerForTest(t, serverArguments)
    const admin = server.connect()
    const { quota, redis, holds, faults, becomes } = await realInstance(t, server.port)
    const { quota: other, becomes: otherBecomes } = await realInstance(t, server.port)
    heldBy(await quota.reserve(ask({ requests: 3 })))
    const closed = once(redis, 'close')

    await refuse(admin, t)
    const refused = { granted: false, degraded: true, reason: 'unavailable' }
    // One instance learns it from a reservation, the other one from its heartbeat.
    for (let call = 0; call < 20; call++) t.match(await quota.reserve(ask()), refused)
    await otherBecomes('unavailable')
    t.match(await other.reserve(ask()), refused)
    for (const instance of [quota, other]) await until(() => causeOf(instance) === cause)
    t.match((await admin.hgetBuffer('quota:{real}', 'pool')) === null, false, 'its data is still there')
    if (cause === 'read_only') await closed

    await accept(admin, t)
    await becomes('serving')
    await otherBecomes('serving')
    for (const instance of [quota, other]) t.match(await instance.reserve(ask()), { granted: true, degraded: false })
    const { current } = (await quota.usage()).requests.perDay
    t.same(faults, ['degraded', 'recovered'])
    if (cause === 'read_only') {
      // A promotion may have lost writes: the pool is held, and the day counts what may have been used unseen.
      t.match(holds, [{ cause: 'restart' }])
      t.ok(current >= 5)
    } else {
      t.same(holds, [])
      t.equal(current, 5, 'no refused call is charged')
    }
  })

t.test('grants resume within five heartbeats after Redis accepts writes again', async (t) => {
  const server = await redisServerForTest(t)
  const pool = new VirtualPool(t, server.connect())
  const quotas = [await pool.servingInstance(), await pool.servingInstance()]
  for (const fault of ['OOM command not allowed', 'unreachable'] as const) {
    pool.fault = fault
    await pool.time.pass(30_500)
    for (const quota of quotas) t.notOk((await quota.reserve(ask())).granted)
    pool.fault = 'none'
    await pool.time.pass(5000)
    for (const quota of quotas) t.match(await quota.reserve(ask()), { granted: true, degraded: false })
  }
})

function causeOf(quota: QuotaClient): string {
  const health = quota.health()
  return health.state === 'unavailable' ? health.cause : health.state
}

async function temporaryDirectory(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'knowalledge-redis-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

async function save(redis: Redis, status: string): Promise<void> {
  await redis.bgsave()
  await until(async () => (await redis.info('persistence')).includes(`rdb_last_bgsave_status:${status}`))
}
