import { redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { scrape } from './exposition.ts'
import { eventually, fleetForTest, logged, post } from './fleet.ts'

const read = async (url: string) => (await (await fetch(url)).json()) as Record<string, unknown>

/** A fleet whose cache has a Redis of its own. */
async function fleetWithTwo(t: Test, settings: string[] = [], env: Record<string, string> = {}) {
  const cache = await redisServerForTest(t, settings)
  const fleet = await fleetForTest(t, { env: { CACHE_REDIS_URL: cache.url, ...env } })
  const [service] = fleet.text as [(typeof fleet.text)[number]]
  const ask = (topic: string) => post(`${fleet.gateway.url}/api/create_subtopics`, { topic })
  return { ...fleet, cache, admin: cache.connect(), service, ask }
}

t.test('answers are kept in the Redis of the cache, quota and all else in the other', async (t) => {
  const { redis, admin, ask } = await fleetWithTwo(t)
  t.equal((await ask('Light')).status, 200)
  const names = async (server: typeof admin) => new Set((await server.keys('*')).map((key) => key.split(':')[0]))
  t.same(await names(admin), new Set(['cache']))
  const others = await names(redis.connect())
  t.ok(others.size > 0 && !others.has('cache'), [...others].join())
})

t.test('a full Redis of the cache: new questions are answered, and one line says that it is full', async (t) => {
  const { admin, service, ask } = await fleetWithTwo(t)
  const shows = (store: string, expected: number) =>
    eventually(
      async () => (await scrape(service)).at(`redis_writable{store="${store}"}`),
      (shown) => shown === expected,
    )
  t.equal((await ask('Light')).status, 200)
  await shows('cache', 1)
  await admin.config('SET', 'maxmemory', '1')
  for (let n = 0; n < 10; n++) t.match(await ask(`Sound ${n}`), { status: 200, body: { cached: false } })
  t.match(await ask('Light'), { status: 200, body: { cached: true } })
  t.match(await read(`${service.url}/ready`), {
    status: 'degraded',
    checks: {
      redis: { status: 'healthy' },
      quota: { status: 'serving' },
      cache: { status: 'full', remedy: /maxmemory: make room, or raise it/ },
    },
  })
  await shows('cache', 0)
  await shows('quota', 1)
  await logged(service, /"part":"cache","reason":"full"/)
  t.equal(service.output().match(/"part":"cache"/g)?.length, 1)
})

t.test('a Redis that evicts all the time: every picture and every question is answered', async (t) => {
  const { admin, gateway, ask } = await fleetWithTwo(t, ['--maxmemory-policy', 'allkeys-lfu'])
  const used = Number((await admin.info('memory')).match(/used_memory:(\d+)/)?.[1])
  await admin.config('SET', 'maxmemory', String(used + 300_000))
  for (let n = 0; n < 5; n++) {
    t.equal((await post(`${gateway.url}/api/generate_image`, { prompt: `A whale, ${n}` })).status, 200)
    t.equal((await ask(`Whales ${n}`)).status, 200)
  }
  const evicted = Number((await admin.info('stats')).match(/evicted_keys:(\d+)/)?.[1])
  t.ok(evicted > 0, `${evicted} keys were evicted`)
})

t.test('without the Redis of the cache new questions are answered', async (t) => {
  const { cache, service, ask } = await fleetWithTwo(t)
  t.equal((await ask('Light')).status, 200)
  cache.process.kill('SIGKILL')
  for (const topic of ['Sound', 'Heat']) t.match(await ask(topic), { status: 200, body: { cached: false } })
  t.match(await ask('Light'), { status: 200, body: { cached: true } })
  t.match(await read(`${service.url}/ready`), { checks: { cache: { status: 'unreachable' } } })
})

t.test('POST /api/admin/cache/invalidate reaches the Redis of the cache', async (t) => {
  const ADMIN_TOKEN = 'token-of-this-test'
  const { gateway, ask } = await fleetWithTwo(t, [], { ADMIN_TOKEN })
  t.equal((await ask('Light')).status, 200)
  const reply = await fetch(`${gateway.url}/api/admin/cache/invalidate`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ topic: 'Light' }),
  })
  t.equal(reply.status, 200)
  await eventually(
    () => ask('Light'),
    ({ body }) => body.cached === false,
  )
})
