import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, redisServerForTest } from '@knowalledge/testing'
import { Cluster } from 'ioredis'
import t, { type Test } from 'tap'
import { createQuotaClient, quotaClusterOptions } from '../src/index.ts'
import { ask, heldBy, quotaContract, roomy } from './support/contract.ts'
import { patience } from './support/patience.ts'

const slots = 16_384

/** Three masters that share the slots, and a client that knows one of them. */
async function clusterForTest(t: Test) {
  const nodes = await Promise.all(
    [0, 1, 2].map(async (index) => {
      const busPort = await freePort() // the default, 10,000 above the port, may be past the last port
      const server = await redisServerForTest(t, ['--cluster-enabled', 'yes', '--cluster-port', String(busPort)])
      const admin = server.connect()
      const [from, to] = [Math.ceil((slots / 3) * index), Math.ceil((slots / 3) * (index + 1)) - 1]
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', from, to)
      return { port: server.port, busPort, admin }
    }),
  )
  for (const { admin } of nodes.slice(1))
    await admin.call('CLUSTER', 'MEET', '127.0.0.1', nodes[0]?.port ?? 0, nodes[0]?.busPort ?? 0)
  for (const { admin } of nodes) {
    while (!String(await admin.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) await delay(20)
    while (String(await admin.call('CLUSTER', 'NODES')).match(/connected/g)?.length !== 3) await delay(20)
  }
  const cluster = new Cluster([{ host: '127.0.0.1', port: nodes[0]?.port ?? 0 }], {
    ...quotaClusterOptions(),
    redisOptions: { ...quotaClusterOptions().redisOptions, commandTimeout: patience.answerWithinMs },
  })
  t.teardown(() => cluster.disconnect())
  await once(cluster, 'ready')
  return { cluster, nodes }
}

t.test('a Redis Cluster of three nodes', async (t) => {
  const { cluster, nodes } = await clusterForTest(t)

  t.test('keeps the whole contract', async (t) => {
    let pools = 0
    quotaContract(t, (options) => {
      const quota = createQuotaClient({ ...patience, ...options, redis: cluster, pool: `cluster-${pools++}` })
      t.teardown(() => quota.close())
      return quota
    })
  })

  t.test('has all keys of a pool in one slot, and pools on all nodes', async (t) => {
    for (let pool = 0; pool < 30; pool++) {
      const quota = createQuotaClient({ ...patience, redis: cluster, pool: `spread-${pool}`, limits: roomy })
      heldBy(await quota.reserve(ask({ tenant: { id: 'one', limits: { rpm: 5 } } }))).release()
      await quota.close()
    }
    const pools: string[] = []
    for (const { admin } of nodes) {
      const keys = (await admin.keys('quota:{spread-*')).map((key) => key.slice(0, key.indexOf('}')))
      t.ok(keys.length > 0, 'this node holds some')
      pools.push(...new Set(keys))
    }
    t.equal(pools.length, 30, 'no pool is spread over two nodes')
  })
})
