import t from 'tap'
import { fleetForTest } from './fleet.ts'

const page = { origin: 'http://localhost:3000', 'content-type': 'application/json' }
let asked = 0

t.test(
  'one greedy client cannot take the quota of three polite ones, through two gateways and two instances',
  async (t) => {
    const env = { SESSION_SECRET: 'a-session-secret-that-all-gateways-share', GATEWAY_SECRET: 'x'.repeat(32) }
    const { gateways, counters } = await fleetForTest(t, { gateways: 2, instances: 2, env })
    /** Asks something new; the cookie is sent from then on, as a browser does. */
    const browser = () => {
      let cookie = ''
      return async (operation: string, body: object) => {
        const url = `${gateways[asked++ % 2]?.url}/api/${operation}`
        const reply = await fetch(url, { method: 'POST', headers: { ...page, cookie }, body: JSON.stringify(body) })
        cookie ||= reply.headers.get('set-cookie')?.split(';', 1)[0] ?? ''
        return { status: reply.status, body: (await reply.json()) as Record<string, unknown> }
      }
    }
    const subtopics = (ask: ReturnType<typeof browser>) => ask('create_subtopics', { topic: `Topic ${asked}` })
    const [greedy, ...polite] = [browser(), browser(), browser(), browser()]
    if (!greedy) throw new Error('there are four')
    // The first request has no cookie yet and counts for the address that they share.
    for (const ask of [greedy, ...polite]) t.equal((await ask('create_subtopics', { topic: 'Known' })).status, 200)
    for (const ask of polite) t.equal((await subtopics(ask)).status, 200)

    const focus = Array.from({ length: 12 }, (_, n) => `Subtopic ${n}`)
    const presentation = { topic: 'All', educationLevel: 'school', levelOfDetail: 'normal', focus }
    const refused = await greedy('create_presentation', presentation)
    t.equal(refused.status, 429)
    t.match(refused.body, { error: 'quota_exceeded', limit_type: 'client', retry_after: /^\d+ seconds$/ })
    let taken = 0
    for (let n = 0; n < 15; n++) if ((await subtopics(greedy)).status === 200) taken++
    t.equal(taken, 5, 'half of the 11 that are free')
    for (const ask of polite) t.equal((await subtopics(ask)).status, 200)
    t.equal((await greedy('create_subtopics', { topic: 'Known' })).status, 200, 'what is cached is free')
    t.equal((await counters()).admitted, 1 + 3 + 5 + 3)
  },
)

t.test('a service with GATEWAY_SECRET answers nobody but its gateway', async (t) => {
  const { gateway, text } = await fleetForTest(t, { env: { GATEWAY_SECRET: 'x'.repeat(32) } })
  const url = text[0]?.url
  const forged = await fetch(`${url}/api/subtopics?topic=Light`, { headers: { 'x-tenant': 'school-a' } })
  t.equal(forged.status, 401)
  t.match(await forged.json(), { error: 'unauthorized' })
  for (const path of ['/health', '/ready', '/metrics', '/openapi.json']) t.equal((await fetch(url + path)).status, 200)
  t.equal((await fetch(`${gateway.url}/api/subtopics?topic=Light`)).status, 200)
})
