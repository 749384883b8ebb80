import { freePort, redisServerForTest, type TestContext } from '@knowalledge/testing'
import { Cluster } from 'ioredis'
import t from 'tap'
import { cacheForTest, mustNotProduce, Production } from './fixtures/caches.ts'

/** A cluster of one node that holds all slots: it refuses a script whose keys lie in different ones, as any cluster does. */
async function clusterForTest(t: TestContext): Promise<() => Cluster> {
  const busPort = await freePort()
  const settings = ['--cluster-enabled', 'yes', '--cluster-port', String(busPort), '--cluster-announce-ip', '127.0.0.1']
  const server = await redisServerForTest(t, settings)
  const node = server.connect()
  await node.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  while (!(await node.cluster('INFO')).includes('cluster_state:ok')) await new Promise(setImmediate)
  return () => {
    const cluster = new Cluster([{ host: '127.0.0.1', port: server.port }])
    t.teardown(() => cluster.disconnect())
    return cluster
  }
}

t.test('on Redis Cluster: shares answers, productions and invalidations', async (t) => {
  const connect = await clusterForTest(t)
  const [a, b] = [1, 2].map(() => cacheForTest(t, { redis: connect(), redisTimeoutMs: 2_000 }))
  const production = new Production<string>()
  const tags = ['operation:x', 'topic:y']
  const claims = [await a?.claim('k', { ...production, tags }), await b?.claim('k', { ...mustNotProduce, tags })]
  t.same(
    claims.map((claim) => claim?.state),
    ['lead', 'wait'],
  )
  production.deliver('v')
  for (const claim of claims) t.equal((await claim?.result)?.value, 'v')
  await a?.set('direct', 1, { tags })
  t.match(await b?.get('direct'), { value: 1, layer: 'redis' })
  await b?.invalidateTags(tags)
  for (const cache of [a, b]) {
    while ((await cache?.get('k')) !== undefined) await new Promise(setImmediate)
    t.equal(await cache?.stale('direct'), undefined)
  }
})
