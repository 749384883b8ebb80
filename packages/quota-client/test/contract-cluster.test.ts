import { once } from 'node:events'
import { clusterOptions } from '@knowalledge/redis-kit'
import { freePort, redisServerForTest } from '@knowalledge/testing'
import { Cluster, type Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createQuotaClient } from '../src/index.ts'
import { quotaContract } from './support/contract.ts'
import { ask, heldBy, lenientConnection, longTimeout, roomy } from './support/requests.ts'
import { until } from './support/until.ts'

const slots = 16_384

t.test('in a Redis Cluster of three nodes', async (t) => {
  const { cluster, nodes } = await clusterForTest(t)

  t.test('keeps the whole contract', async (t) => {
    let pools = 0
    quotaContract(t, (options) => createQuotaClient({ ...options, redis: cluster, pool: `cluster-${pools++}` }))
  })

  t.test('has a pool and its tenants in one key, and pools on all nodes', async (t) => {
    for (let pool = 0; pool < 30; pool++) {
      const options = { ...longTimeout, redis: cluster, pool: `spread-${pool}`, limits: roomy }
      const quota = createQuotaClient({ ...options, newPool: 'open' })
      await until(() => quota.health().state === 'serving') // a slow first reply does not show a step of the clock
      heldBy(await quota.reserve(ask({ tenant: { id: 'one', limits: { rpm: 5 } } }))).release()
      await quota.close()
    }
    const keys = await Promise.all(nodes.map((node) => node.keys('*spread-*')))
    t.ok(keys.every((held) => held.length > 0))
    t.equal(keys.flat().length, 30)
  })
})

/** Three masters that share the slots, and a client that knows one of them. */
async function clusterForTest(t: Test): Promise<{ cluster: Cluster; nodes: Redis[] }> {
  const servers = await Promise.all(
    [0, 1, 2].map(async (index) => {
      const busPort = await freePort() // the default, 10,000 above the port, may be past the last port
      const server = await redisServerForTest(t, ['--cluster-enabled', 'yes', '--cluster-port', String(busPort)])
      const admin = server.connect()
      const [from, to] = [Math.ceil((slots / 3) * index), Math.ceil((slots / 3) * (index + 1)) - 1]
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', from, to)
      return { port: server.port, busPort, admin }
    }),
  )
  const [first, ...others] = servers
  if (first === undefined) throw new Error('a cluster has a first node')
  for (const { admin } of others) await admin.call('CLUSTER', 'MEET', '127.0.0.1', first.port, first.busPort)
  for (const { admin } of servers) {
    await until(async () => String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok'))
    await until(async () => String(await admin.call('CLUSTER', 'NODES')).match(/connected/g)?.length === 3)
  }
  const cluster = new Cluster([{ host: '127.0.0.1', port: first.port }], {
    ...clusterOptions(),
    redisOptions: lenientConnection(),
  })
  t.teardown(() => cluster.disconnect())
  await once(cluster, 'ready')
  return { cluster, nodes: servers.map(({ admin }) => admin) }
}
