import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { processForTest, redisServerForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { upstreamForTest } from './edge-upstream.ts'
import { eventually } from './fleet.ts'

/** Two gateways over one Redis, before a service that counts what reaches it. */
async function gatewaysForTest(t: Test, limit: number) {
  const redis = await redisServerForTest(t)
  const service = await upstreamForTest(t, (request, reply) => {
    request.resume()
    reply.end('{}')
  })
  const start = () =>
    processForTest(t, 'gateway/src/server.ts', {
      env: {
        REDIS_URL: redis.url,
        TEXT_GENERATION_URL: service.url,
        UPSTREAM_CHECK_MS: '0',
        LOG_LEVEL: 'info',
        DRAIN_MS: '0',
        RATE_LIMIT_PER_MINUTE: String(limit),
      },
    })
  const gateways = await Promise.all([start(), start()])
  const ask = async (door: number, localAddress = '127.0.0.1') => {
    const asked = request(`${gateways[door % 2]?.url}/api/subtopics?topic=Light`, { localAddress }).end()
    const [reply] = (await once(asked, 'response')) as [IncomingMessage]
    reply.resume()
    return reply.statusCode
  }
  return { redis, service, gateways, ask }
}

const among = (statuses: (number | undefined)[]) =>
  Object.fromEntries(Object.entries(Object.groupBy(statuses, String)).map(([status, all]) => [status, all?.length]))

t.test('two gateways together admit exactly the limit', async (t) => {
  const { ask, service } = await gatewaysForTest(t, 40)
  const statuses = await Promise.all(Array.from({ length: 150 }, (_, n) => ask(n)))
  t.same(among(statuses), { 200: 40, 429: 110 })
  t.equal(service.seen.length, 40, 'and what was refused has reached no service')
})

t.test('a request costs one command of Redis, and a probe none', async (t) => {
  const { redis, ask, gateways } = await gatewaysForTest(t, 40)
  for (const door of [0, 1]) await ask(door) // loads the script
  const monitor = await redis.connect().monitor()
  t.teardown(() => monitor.disconnect())
  const counting: string[] = []
  monitor.on('monitor', (_time: string, command: string[]) => {
    if (command[0] === 'evalsha' && command[3]?.startsWith('{requests:')) counting.push(command[3])
  })
  for (const path of ['/health', '/ready', '/api/health', '/api/ready', '/metrics']) await fetch(gateways[0].url + path)
  for (let n = 0; n < 10; n++) await ask(n)
  await eventually(
    async () => counting.length,
    (seen) => seen >= 10,
  )
  t.same(counting, Array(10).fill('{requests:gemini}:expensive:address:127.0.0.1'))
})

for (const fault of ['SIGSTOP', 'SIGKILL'] as const) {
  t.test(`Redis ends by ${fault}: each gateway keeps the limit alone, no 500, and shares again after`, async (t) => {
    const { redis, ask, gateways } = await gatewaysForTest(t, 20)
    await ask(0)
    redis.process.kill(fault)
    t.same(among(await Promise.all(Array.from({ length: 99 }, (_, n) => ask(n)))), { 200: 39, 429: 60 })

    if (fault === 'SIGSTOP') redis.process.kill('SIGCONT')
    else await redis.restart()
    await eventually(
      async () => gateways.map((gateway) => /rate limits.*Redis is back/.test(gateway.output())),
      (back) => back.every(Boolean),
    )
    const another = await Promise.all(Array.from({ length: 60 }, (_, n) => ask(n, '127.0.0.2')))
    t.same(among(another), { 200: 20, 429: 40 })
  })
}
