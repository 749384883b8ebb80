import t from 'tap'
import { eventually, fleetForTest, post } from './fleet.ts'

t.test('fifteen calls over two instances leave nothing for a third, and answers are shared', async (t) => {
  const { text, gateway, counters, startText } = await fleetForTest(t, { instances: 2 })
  const [first, second] = text
  for (let n = 0; n < 15; n++) {
    const instance = n % 2 === 0 ? first : second
    t.equal((await post(`${instance?.url}/api/create_subtopics`, { topic: `Topic ${n}` })).status, 200)
  }
  const third = await startText()
  const refused = await post(`${third.url}/api/create_subtopics`, { topic: 'One more' })
  t.equal(refused.status, 429)
  t.match(refused.body, { error: 'quota_exceeded', limit_type: 'rpm' })

  const known = await post(`${third.url}/api/create_subtopics`, { topic: 'Topic 0' })
  t.equal(known.headers.get('x-cache'), 'redis')
  t.match(known.body, { cached: true })

  const stats = (await (await fetch(`${gateway.url}/api/quota/stats`)).json()) as object
  t.match(
    stats,
    { requests: { per_minute: { current: 15, remaining: 0 } } },
    'the gateway, which served nothing, sees it too',
  )
  t.match(await counters(), { admitted: 15, refused: { rpm: 0 } })
})

t.test('identical questions to several instances make one call', async (t) => {
  const { text, counters } = await fleetForTest(t, { instances: 3, env: { EMULATOR_LATENCY_MS: '300' } })
  const asked = Array.from({ length: 60 }, (_, n) =>
    post(`${text[n % 3]?.url}/api/create_subtopics`, { topic: 'Everybody asks this' }),
  )
  for (const reply of await Promise.all(asked)) t.equal(reply.status, 200)
  t.equal((await counters()).admitted, 1)
})

t.test('a thousand identical questions over four instances make one call, and take one request of quota', async (t) => {
  const { text, gateway, counters } = await fleetForTest(t, { instances: 4, env: { EMULATOR_LATENCY_MS: '1500' } })
  const asked = Array.from({ length: 1_000 }, () =>
    post(`${gateway.url}/api/create_subtopics`, { topic: 'Everybody asks' }),
  )
  const answers = await Promise.all(asked)
  t.same(new Set(answers.filter(({ status }) => status !== 200).map(({ body }) => body.error)), new Set())
  t.equal(new Set(answers.map((answer) => JSON.stringify(answer.body.subtopics))).size, 1)
  t.equal((await counters()).admitted, 1)
  const stats = (await (await fetch(`${gateway.url}/api/quota/stats`)).json()) as object
  t.match(stats, { requests: { per_minute: { current: 1 } } })
  t.equal(text.length, 4)
})

t.test(
  'when the instance that asks is killed, another takes over within 2 s and everybody gets the answer',
  async (t) => {
    const { text, emulator, counters } = await fleetForTest(t, { instances: 2 })
    const [first, second] = text
    await post(`${emulator.url}/emulator/faults`, { kind: 'hang', times: 1 })
    const lost = post(`${first?.url}/api/create_subtopics`, { topic: 'Light' }).catch(() => 'lost with its instance')
    await eventually(counters, ({ inFlight }) => inFlight > 0)
    const waiting = post(`${second?.url}/api/create_subtopics`, { topic: 'Light' })
    await new Promise((resolve) => setTimeout(resolve, 300)) // until it waits for the other instance's call
    const killedAt = Date.now()
    await first?.stop('SIGKILL')
    t.equal((await waiting).status, 200)
    t.ok(Date.now() - killedAt < 4_000, '2 s to take over, and the call itself on a busy machine')
    t.equal(await lost, 'lost with its instance')
  },
)

t.test('an invalidation reaches every instance within a second', async (t) => {
  const token = 'a-token-of-the-test'
  const { text, gateway, counters } = await fleetForTest(t, { instances: 3, env: { ADMIN_TOKEN: token } })
  for (const instance of text) await post(`${instance.url}/api/create_subtopics`, { topic: 'Light' })
  for (const instance of text) {
    t.equal((await post(`${instance.url}/api/create_subtopics`, { topic: 'Light' })).headers.get('x-cache'), 'memory')
  }
  const reply = await fetch(`${gateway.url}/api/admin/cache/invalidate`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ topic: 'light' }),
  })
  t.equal(reply.status, 200)
  await new Promise((resolve) => setTimeout(resolve, 1_000)) // the promise is: within one second
  const layers = await Promise.all(
    text.map(async ({ url }) => (await post(`${url}/api/create_subtopics`, { topic: 'Light' })).headers.get('x-cache')),
  )
  t.notOk(layers.includes('memory'), layers.join())
  t.equal((await counters()).admitted, 2, 'one made the call; the others waited for it, or found it in Redis')
})

t.test('with Redis hung or killed what is known is answered and nothing new; it comes back by itself', async (t) => {
  const { redis, text, gateway, counters } = await fleetForTest(t, { env: { QUOTA_WINDOW_MS: '6000' } })
  const ask = async (topic: string) => {
    const { status, headers, body } = await post(`${text[0]?.url}/api/create_subtopics`, { topic })
    if (status === 200) return body.cached ? 'known' : 'new'
    t.match(headers.get('retry-after'), /^[1-9]\d*$/)
    return body.error
  }
  const ready = async () => (await (await fetch(`${gateway.url}/api/ready`)).json()) as { status: string }
  t.equal(await ask('Light'), 'new')
  redis.process.kill('SIGSTOP')
  t.equal(await ask('Light'), 'known')
  t.equal(await ask('Sound'), 'quota_unavailable')
  t.match(await ready(), { status: 'degraded', checks: { redis: { status: 'unreachable', remedy: /Start Redis/ } } })
  redis.process.kill('SIGCONT')
  await eventually(
    () => ask('Sound'),
    (answer) => answer === 'new',
  )
  await redis.restart() // without its data: a hold of one window
  t.equal(await ask('Sound'), 'known')
  await eventually(
    () => ask('Heat'),
    (answer) => answer === 'new',
  )
  t.equal(await ask('Heat'), 'known')
  t.equal((await counters()).admitted, 3, 'a refusal costs no call')
})
