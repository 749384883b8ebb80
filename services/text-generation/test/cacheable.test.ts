import { serviceForTest } from '@knowalledge/generation/testing'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

const build = serviceForTest({ buildApp, loadConfig })

const subtopics = '/api/subtopics?topic=Photosynthesis'
const explanation =
  '/api/explanation?topic=Photosynthesis&subtopic=Chlorophyll&educationLevel=high%20school&levelOfDetail=normal'
const cacheable = 'public, max-age=300, s-maxage=900, stale-if-error=86400'

t.test('GET gives the same answers as POST, in a form that browsers and the edge may keep', async (t) => {
  const { app, post, emulator } = await build(t)
  const posted = (await post('/api/create_subtopics', { topic: 'Photosynthesis' })).json()
  const got = await app.inject(`${subtopics}&utm_source=ignored`)
  t.equal(got.statusCode, 200)
  t.same(got.json(), { ...posted, cached: true })
  t.match(got.headers, { 'cache-control': cacheable, 'x-cache': 'memory', vary: 'Accept-Language', etag: /^W\/"/ })

  const presented = (
    await post('/api/create_presentation', {
      topic: 'Photosynthesis',
      educationLevel: 'high school',
      levelOfDetail: 'normal',
      focus: ['Chlorophyll'],
    })
  ).json()
  const { error: _, ...expected } = presented.explanations[0]
  const alone = await app.inject(explanation)
  t.same(alone.json(), { ...expected, cached: true })
  t.equal(alone.headers['cache-control'], cacheable)
  t.equal(emulator.counters().admitted, 2)
})

t.test('the ETag is the same for a fresh and a cached copy, and If-None-Match makes a 304', async (t) => {
  const { app } = await build(t)
  const first = await app.inject(subtopics)
  t.equal(first.headers['x-cache'], 'miss')
  const etag = String(first.headers.etag)
  t.equal((await app.inject(subtopics)).headers.etag, etag)
  for (const known of [etag, `"other", ${etag}`, etag.slice(2), '*']) {
    const reply = await app.inject({ url: subtopics, headers: { 'if-none-match': known } })
    t.equal(reply.statusCode, 304, known)
    t.equal(reply.body, '')
    t.notOk('content-length' in reply.headers, 'a length without a body breaks the gateway')
    t.equal(reply.headers.etag, etag)
    t.equal(reply.headers['cache-control'], cacheable)
  }
  t.equal((await app.inject({ url: subtopics, headers: { 'if-none-match': 'W/"other"' } })).statusCode, 200)
})

t.test('an answer varies by Accept-Language only where no language was asked for', async (t) => {
  const { app } = await build(t)
  const spanish = await app.inject({ url: `${subtopics}&language=es`, headers: { 'accept-language': 'fr' } })
  t.equal(spanish.headers.vary, undefined)
  const french = await app.inject({ url: `${subtopics}&language=nonsense!`, headers: { 'accept-language': 'fr' } })
  t.equal(french.headers.vary, 'Accept-Language')
  t.not(french.headers.etag, spanish.headers.etag)
})

t.test('refusals, failures and poor answers are kept nowhere', async (t) => {
  const { app, emulator, backends } = await build(t)
  emulator.faults.add({ kind: 'poor_quality', times: 1 })
  const poor = await app.inject(subtopics)
  t.equal(poor.statusCode, 200)
  t.equal(poor.headers['cache-control'], 'no-store')
  t.notOk('etag' in poor.headers)

  emulator.faults.add({ kind: 'truncated_json', times: 1 })
  const failed = await app.inject(subtopics)
  t.equal(failed.statusCode, 502)
  t.equal(failed.headers['cache-control'], 'no-store')

  await backends.pools[0].quota.reserve({ requests: 13, tokens: 0, priority: 'interactive' })
  const refused = await app.inject(subtopics)
  t.equal(refused.statusCode, 429)
  t.equal(refused.headers['cache-control'], 'no-store')
})

t.test('bad input names the parameter', async (t) => {
  const { app } = await build(t)
  const table: [url: string, message: RegExp][] = [
    ['/api/subtopics', /topic is missing/],
    ['/api/subtopics?topic=%20', /topic is empty/],
    ['/api/subtopics?topic=a&topic=b', /topic must be a text/],
    [`/api/subtopics?topic=${'x'.repeat(501)}`, /topic must have at most 500 characters/],
    ['/api/explanation?topic=a', /subtopic is missing/],
  ]
  for (const [url, message] of table) {
    const reply = await app.inject(url)
    t.equal(reply.statusCode, 400, url)
    t.match(reply.json(), { error: 'invalid_input', message })
  }
})
