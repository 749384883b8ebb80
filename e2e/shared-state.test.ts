import t from 'tap'
import { fleetForTest, post } from './fleet.ts'

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
