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
        MAX_IN_FLIGHT_PER_ADDRESS: '0',
        MAX_EVENT_LOOP_DELAY_MS: '0', // the machine has other things to do
      },
    })
  const gateways = await Promise.all([start(), start()])
  const ask = async (door: number, localAddress = '127.0.0.1') => {
    const asked = request(`${gateways[door % 2]?.url}/api/subtopics?topic=Light`, { localAddress }).end()
    const [reply] = (await once(asked, 'response')) as [IncomingMessage]
    reply.resume()
    return reply.statusCode
  }
  /** How often each gateway has gone on alone and come back: on a busy machine Redis is late by itself at times. */
  const lapses = async () => {
    await Promise.all([ask(0, '127.0.1.1'), ask(1, '127.0.1.1')]) // what there was to say is written by then
    const changes = () =>
      gateways.map((gateway) => gateway.output().split(/redis unavailable|redis available again/).length - 1)
    await eventually(
      async () => changes(),
      (seen) => seen.every((count) => count % 2 === 0),
    )
    return changes().join()
  }
  /** What becomes of so many requests while Redis answers in time; otherwise another client asks once more. */
  const shared = async (requests: number, client = 2): Promise<Record<string, number | undefined>> => {
    const before = await lapses()
    const reached = service.seen.length
    const statuses = await Promise.all(Array.from({ length: requests }, (_, n) => ask(n, `127.0.0.${client}`)))
    const answer = { ...among(statuses), reached: service.seen.length - reached }
    return (await lapses()) === before || client === 20 ? answer : await shared(requests, client + 1)
  }
  return { redis, service, gateways, ask, shared, lapses }
}

const among = (statuses: (number | undefined)[]) =>
  Object.fromEntries(Object.entries(Object.groupBy(statuses, String)).map(([status, all]) => [status, all?.length]))

t.test('two gateways together admit exactly the limit', async (t) => {
  const { shared } = await gatewaysForTest(t, 40)
  t.same(await shared(150), { 200: 40, 429: 110, reached: 40 })
})

t.test('a request costs one command of Redis, and a probe none', async (t) => {
  const { redis, ask, gateways, lapses } = await gatewaysForTest(t, 15) // too few to count ahead
  const monitor = await redis.connect().monitor()
  t.teardown(() => monitor.disconnect())
  const counted: string[] = []
  monitor.on('monitor', (_time: string, command: string[]) => {
    if (command[0] === 'evalsha' && command[3]?.startsWith('{requests:')) counted.push(command[3])
  })
  const by = (client: string) => counted.filter((key) => key.endsWith(client)).length
  for (let client = 2, lapsed = true; lapsed && client < 20; client++) {
    const before = await lapses()
    for (const probe of ['/health', '/ready', '/api/health', '/api/ready', '/metrics'])
      await fetch(gateways[0].url + probe)
    for (let n = 0; n < 10; n++) await ask(n, `127.0.0.${client}`)
    lapsed = (await lapses()) !== before
    if (lapsed) continue
    await eventually(
      async () => by(`:expensive:address:127.0.0.${client}`),
      (seen) => seen >= 10,
    )
    t.equal(by(`:expensive:address:127.0.0.${client}`), 10)
  }
  t.equal(by(':127.0.0.1'), 0, 'where the probes came from')
})

for (const fault of ['SIGSTOP', 'SIGKILL'] as const) {
  t.test(`Redis ends by ${fault}: each gateway keeps the limit alone, no 500, and shares again after`, async (t) => {
    const { redis, ask, gateways, shared } = await gatewaysForTest(t, 20)
    await ask(0)
    redis.process.kill(fault)
    t.same(among(await Promise.all(Array.from({ length: 99 }, (_, n) => ask(n)))), { 200: 39, 429: 60 })

    if (fault === 'SIGSTOP') redis.process.kill('SIGCONT')
    else await redis.restart()
    await eventually(
      async () => gateways.map((gateway) => /rate limits.*redis available again/.test(gateway.output())),
      (back) => back.every(Boolean),
    )
    t.same(await shared(60), { 200: 20, 429: 40, reached: 20 })
  })
}
