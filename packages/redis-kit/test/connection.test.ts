import { once } from 'node:events'
import { freePort, redisServerForTest } from '@knowalledge/testing'
import { Cluster, Redis } from 'ioredis'
import t from 'tap'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { clusterOptions, connectRedis, defineScript, redisOptions, redisSettings, subscriberTo } from '../src/index.ts'

const config = Value.Create(Type.Object(redisSettings))

function recordingLog() {
  const warnings: string[] = []
  return { warnings, debug() {}, info() {}, warn: (_: object, message: string) => void warnings.push(message) }
}

t.test('nothing is sent twice, whatever else is asked for', async (t) => {
  const wrong = { autoResendUnfulfilledCommands: true, maxRetriesPerRequest: 3, enableOfflineQueue: true }
  const right = { autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, enableOfflineQueue: false }
  t.match(redisOptions(wrong), { ...right, commandTimeout: 500, connectTimeout: 1_000 })
  t.match(redisOptions({ commandTimeout: 250, lazyConnect: true }), {
    ...right,
    commandTimeout: 250,
    lazyConnect: true,
  })
  t.match(clusterOptions({ enableOfflineQueue: true, retryDelayOnFailover: 100, redisOptions: wrong }), {
    enableOfflineQueue: false,
    retryDelayOnFailover: 0,
    redisOptions: right,
  })
})

t.test('connects to one server, and starts without one that is not there', async (t) => {
  const server = await redisServerForTest(t)
  const log = recordingLog()
  const redis = await connectRedis({ ...config, REDIS_URL: server.url }, { log, commandTimeoutMs: 250 })
  t.teardown(() => redis?.disconnect())
  t.match(redis, { status: 'ready', options: { commandTimeout: 250 } })
  t.equal(await redis?.ping(), 'PONG')

  const absent = await connectRedis({ ...config, REDIS_HOST: '127.0.0.1', REDIS_PORT: await freePort() }, { log })
  t.teardown(() => absent?.disconnect())
  t.not(absent?.status, 'ready')
  t.same(log.warnings, ['redis unavailable at the start, retrying in the background'])
  t.equal(await connectRedis({ ...config, REDIS_ENABLED: false }, { log }), undefined)
})

t.test('connects to a cluster through the named nodes, with the credentials of the URL', async (t) => {
  const log = recordingLog()
  const nodes = `127.0.0.1:${await freePort()}`
  const redis = await connectRedis(
    { ...config, REDIS_URL: 'rediss://me:pw@elsewhere:1/3', REDIS_CLUSTER_NODES: nodes },
    { log },
  )
  t.teardown(() => redis?.disconnect())
  t.ok(redis instanceof Cluster)
  const { redisOptions } = (redis as Cluster).options
  t.match(redisOptions, { username: 'me', password: 'pw', tls: {}, autoResendUnfulfilledCommands: false })
  t.notOk(redisOptions && ('host' in redisOptions || 'db' in redisOptions))
})

t.test('a subscriber has a connection of its own, and waits for Redis as long as it takes', async (t) => {
  const port = await freePort()
  const redis = new Redis(port, '127.0.0.1', redisOptions())
  redis.on('error', () => {}) // nobody listens there yet
  const subscriber = subscriberTo(redis)
  subscriber.on('error', () => {})
  t.teardown(() => [redis, subscriber].map((connection) => connection.disconnect()))
  const subscribed = subscriber.subscribe('channel')
  await redisServerForTest(t, ['--port', String(port)])
  t.equal(await subscribed, 1)
  const message = new Promise((resolve) => subscriber.once('message', (_, text) => resolve(text)))
  if (redis.status !== 'ready') await once(redis, 'ready')
  await redis.publish('channel', 'hello')
  t.equal(await message, 'hello')
})

t.test('a script is called with keys and arguments, and outlives a restart of Redis', async (t) => {
  const server = await redisServerForTest(t)
  const redis = server.connect()
  const lua = 'return KEYS[1] .. ARGV[1]'
  const asText = defineScript(redis, { name: 'joinTexts', lua, numberOfKeys: 1 })
  const asBuffer = defineScript(redis, { name: 'joinBytes', lua, numberOfKeys: 1, binaryReplies: true })
  t.equal(await asText('a', 1), 'a1')
  await server.restart()
  t.same(await asBuffer('b', 2), Buffer.from('b2'))
})
