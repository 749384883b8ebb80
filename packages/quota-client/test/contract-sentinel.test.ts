import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, redisServerForTest } from '@knowalledge/testing'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createQuotaClient, type Hold } from '../src/index.ts'
import { quotaContract } from './support/contract.ts'
import { ask, heldBy, lenientConnection, longTimeout, roomy } from './support/requests.ts'
import { until } from './support/until.ts'

t.test('over Sentinel', async (t) => {
  const master = await redisServerForTest(t, ['--repl-diskless-sync-delay', '0'])
  const replica = await redisServerForTest(t, ['--replicaof', '127.0.0.1', String(master.port)])
  const sentinelPort = await sentinelForTest(t, { masterPort: master.port, replicaPort: replica.port })
  const sentinel = new Redis(sentinelPort, '127.0.0.1')
  t.teardown(() => sentinel.disconnect())
  const redis = new Redis({
    ...lenientConnection(),
    sentinels: [{ host: '127.0.0.1', port: sentinelPort }],
    name: 'quota',
    sentinelRetryStrategy: () => 20,
  })
  redis.on('error', () => {}) // the master changes on purpose
  t.teardown(() => redis.disconnect())

  t.test('keeps the whole contract', async (t) => {
    let pools = 0
    quotaContract(t, (options) => createQuotaClient({ ...options, redis, pool: `sentinel-${pools++}` }))
  })

  t.test('a failover is a hold, and the day is remembered', async (t) => {
    const holds: Hold[] = []
    const { promise: held, resolve } = Promise.withResolvers<void>()
    const onHold = (hold: Hold) => {
      holds.push(hold)
      resolve()
    }
    const common = { redis, pool: 'failover', limits: { ...roomy, rpd: 10 }, windowMs: 6000 }
    const quota = createQuotaClient({ ...longTimeout, ...common, newPool: 'open', onHold })
    t.teardown(() => quota.close())
    await until(() => quota.health().state === 'serving') // a slow first reply does not show a step of the clock
    heldBy(await quota.reserve(ask({ requests: 7 })))
    const replicaAdmin = replica.connect()
    await until(async () => (await replicaAdmin.exists('quota:{failover}')) === 1)
    await until(async () => (await sentinel.call('SENTINEL', 'FAILOVER', 'quota').catch(() => 'not yet')) === 'OK')
    await until(async () => (await replicaAdmin.role())[0] === 'master')
    master.process.kill('SIGKILL')
    await held
    t.match(holds, [{ cause: 'restart' }])
    t.match(await quota.reserve(ask()), { granted: false, reason: 'hold', cause: 'restart' })
    t.match(quota.health(), { state: 'hold', cause: 'restart' })
    t.ok((await quota.usage()).requests.perDay.current >= 7)
  })
})

async function sentinelForTest(
  t: Test,
  { masterPort, replicaPort }: { masterPort: number; replicaPort: number },
): Promise<number> {
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'knowalledge-sentinel-'))
  const config = join(directory, 'sentinel.conf')
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${directory}`,
    `sentinel monitor quota 127.0.0.1 ${masterPort} 1`,
    `sentinel known-replica quota 127.0.0.1 ${replicaPort}`, // or it is found after ten seconds
    'sentinel down-after-milliseconds quota 60000', // the test fails over by command
  ]
  await writeFile(config, `${lines.join('\n')}\n`)
  const child = spawn('redis-server', [config, '--sentinel'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
    await rm(directory, { recursive: true, force: true })
  })
  for await (const chunk of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false }))
    if (String(chunk).includes('+monitor master')) break
  child.stdout.resume()
  return port
}
