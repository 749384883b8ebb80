import { freePort } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { gatewayForTest, serviceForTest } from './fixtures.ts'

/** An instance that says its name, and on `/ready` what the test wants it to. */
async function instanceForTest(t: Test, name: string) {
  const state = { ready: true }
  const url = await serviceForTest(t, (request, response) => {
    request.resume()
    if (request.url === '/ready') response.writeHead(state.ready ? 200 : 503).end()
    else response.end(name)
  })
  return { url, state }
}

/** Asks until the answers of six requests in a row are these. */
async function becomes(ask: () => Promise<string>, names: string): Promise<string> {
  for (let n = 0; n < 200; n++) {
    const seen = new Set<string>()
    for (let m = 0; m < 6; m++) seen.add(await ask())
    if ([...seen].sort().join('') === names) return names
  }
  return 'never'
}

t.test('an instance that is not ready is left out, and taken back when it is', async (t) => {
  const [a, b] = [await instanceForTest(t, 'a'), await instanceForTest(t, 'b')]
  const { post } = await gatewayForTest(t, { TEXT_GENERATION_URL: `${a.url},${b.url}`, UPSTREAM_CHECK_MS: '20' })
  const ask = async () => (await post('/api/create_subtopics')).text()
  t.equal(await becomes(ask, 'ab'), 'ab')
  a.state.ready = false
  t.equal(await becomes(ask, 'b'), 'b')
  a.state.ready = true
  t.equal(await becomes(ask, 'ab'), 'ab')
})

t.test('with no instance ready all are tried: a wrong check must not close the door', async (t) => {
  const a = await instanceForTest(t, 'a')
  a.state.ready = false
  const { post } = await gatewayForTest(t, { TEXT_GENERATION_URL: a.url, UPSTREAM_CHECK_MS: '20' })
  t.equal(await (await post('/api/create_subtopics')).text(), 'a')
})

t.test('an instance that refuses connections is skipped from the next request on', async (t) => {
  const a = await instanceForTest(t, 'a')
  const dead = `http://127.0.0.1:${await freePort()}`
  const { post } = await gatewayForTest(t, { TEXT_GENERATION_URL: `${dead},${a.url}` })
  const statuses = []
  for (let n = 0; n < 6; n++) statuses.push((await post('/api/create_subtopics')).status)
  t.same(statuses, [503, 200, 200, 200, 200, 200])
})
