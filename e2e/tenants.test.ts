import { openBackends } from '@knowalledge/generation'
import { createLogger } from '@knowalledge/service-kit'
import { emulatorForTest, redisServerForTest, runKeys, type TestRedisServer } from '@knowalledge/testing'
import { buildApp } from '@knowalledge/text-generation'
import { loadConfig } from '@knowalledge/text-generation/config'
import t, { type Test } from 'tap'
import { gatewaySecret, sessionSecret } from './doors.ts'
import { eventually, fleetForTest } from './fleet.ts'

const schoolA = 'school-a;rpm=2'

/** Asks a service as the gateway does. */
async function ask(url: string, topic: string, tenant?: string) {
  const reply = await fetch(`${url}/api/create_subtopics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(tenant && { 'x-tenant': tenant }) },
    body: JSON.stringify({ topic }),
  })
  return { status: reply.status, headers: reply.headers, body: (await reply.json()) as Record<string, unknown> }
}

t.test('of five calls a tenant with rpm=2 gets two, over several instances, and others still get theirs', async (t) => {
  const { text, counters } = await fleetForTest(t, { instances: 2 })
  const url = (n: number) => text[n % 2]?.url ?? ''
  const answers = await Promise.all([0, 1, 2, 3, 4].map((n) => ask(url(n), `Topic ${n}`, schoolA)))
  t.equal(answers.filter(({ status }) => status === 200).length, 2)
  const refused = answers.filter(({ status }) => status === 429)
  t.equal(refused.length, 3)
  for (const { body, headers } of refused) {
    t.match(body, {
      error: 'quota_exceeded',
      message: 'RPM limit of school-a exceeded (2 per minute)',
      limit_type: 'rpm',
      tenant: 'school-a',
      retry_after: `${headers.get('retry-after')} seconds`,
    })
  }
  t.equal((await ask(url(0), 'Light', 'school-b;rpm=2')).status, 200)
  t.equal((await ask(url(1), 'Sound')).status, 200)
  t.equal((await ask(url(0), 'Heat', 'School A')).status, 400)
  t.equal((await counters()).admitted, 4)
})

t.test("a key's tenant has its own limit through the gateway, whatever header its client sends", async (t) => {
  const env = { AUTH: 'required', SESSION_SECRET: sessionSecret, GATEWAY_SECRET: gatewaySecret }
  const { gateway, redis, counters } = await fleetForTest(t, { env })
  const keys = (...args: string[]) => runKeys(redis.url, ...args)
  const [a, b] = [
    await keys('create', '--tenant', 'school-a', '--rpm', '2'),
    await keys('create', '--tenant', 'school-b'),
  ]
  const asked = (topic: string, key: string) =>
    fetch(`${gateway.url}/api/create_subtopics`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': key, 'x-tenant': 'school-c' },
      body: JSON.stringify({ topic }),
    })
  const answers = await Promise.all([0, 1, 2, 3, 4].map((n) => asked(`Topic ${n}`, a)))
  t.same(answers.map(({ status }) => status).sort(), [200, 200, 429, 429, 429])
  const refused = answers.find(({ status }) => status === 429)
  t.match(await refused?.json(), { error: 'quota_exceeded', tenant: 'school-a', limit_type: 'rpm' })
  t.equal((await asked('Light', b)).status, 200)
  t.equal((await counters()).admitted, 3)
})

t.test("who waits in another process for a call that its tenant's limit refuses asks for himself", async (t) => {
  const redis = await redisServerForTest(t)
  const emulator = await emulatorForTest(t)
  const [first, second] = [
    await instanceForTest(t, redis, emulator.baseUrl),
    await instanceForTest(t, redis, emulator.baseUrl),
  ]
  for (const topic of ['a', 'b']) t.equal((await ask(first.url, topic, schoolA)).status, 200)
  first.hold()
  const refused = ask(first.url, 'Light', schoolA)
  const connection = redis.connect()
  await eventually(
    () => connection.keys('*:lease:*'),
    (keys) => keys.length === 1,
  )
  const waiting = [
    ask(second.url, 'Light', 'school-b;rpm=2'),
    ask(second.url, 'Light'),
    ask(second.url, 'Light', schoolA),
  ]
  await eventually(
    () => connection.keys('*:waiters:*'),
    (keys) => keys.length === 1,
  )
  first.letGo()
  t.match(await refused, { status: 429, body: { tenant: 'school-a' } })
  const [ofB, ofNobody, ofA] = await Promise.all(waiting)
  t.equal(ofB?.status, 200)
  t.equal(ofNobody?.status, 200)
  if (ofA?.status !== 200) t.match(ofA, { status: 429, body: { tenant: 'school-a' } }, 'his own limit, or the answer')
  t.equal(emulator.counters().admitted, 3)
})

/** An instance with connections of its own, whose reservations the test can hold up. */
async function instanceForTest(t: Test, redis: TestRedisServer, GEMINI_BASE_URL: string) {
  const config = loadConfig({
    REDIS_URL: redis.url,
    GEMINI_BASE_URL,
    GEMINI_API_KEY: 'e2e-key',
    QUOTA_NEW_POOL: 'open',
  })
  const logger = createLogger({ level: 'silent', pretty: false })
  const backends = await openBackends(config, logger)
  const [pool] = backends.pools
  const { quota } = pool
  let held = Promise.resolve()
  let letGo = () => {}
  const reserve: typeof quota.reserve = async (request) => {
    await held
    return await quota.reserve(request)
  }
  const holdable = {
    reserve,
    usage: () => quota.usage(),
    health: () => quota.health(),
    pause: (pause: Parameters<typeof quota.pause>[0]) => quota.pause(pause),
    close: () => quota.close(),
  }
  const app = await buildApp({ config, backends: { ...backends, pools: [{ ...pool, quota: holdable }] }, logger })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await app.close()
    await backends.close()
  })
  return {
    url,
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>()
      held = promise
      letGo = resolve
    },
    letGo: () => letGo(),
  }
}
