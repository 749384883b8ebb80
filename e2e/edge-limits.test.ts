import { nginxForTest, processForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { ask, upstreamForTest } from './edge-upstream.ts'

const question = '/api/subtopics?topic=Light'
const cacheable = { 'cache-control': 'max-age=300, s-maxage=900', vary: 'Accept-Language' }

/** nginx before a real gateway before a service whose answers may be kept. */
async function edgeForTest(t: Test, env: Record<string, string>) {
  const service = await upstreamForTest(t, (_request, reply) => reply.writeHead(200, cacheable).end('{}'))
  const gateway = await processForTest(t, 'gateway/src/server.ts', {
    env: {
      TEXT_GENERATION_URL: service.url,
      UPSTREAM_CHECK_MS: '0',
      REDIS_ENABLED: 'false',
      LOG_LEVEL: 'warn',
      DRAIN_MS: '0',
      ...env,
    },
  })
  return { service, ...(await nginxForTest(t, { gateways: [gateway.url] })) }
}

t.test('a copy made for one origin is not given to another: each gets its own permission', async (t) => {
  const { url, service } = await edgeForTest(t, { CORS_ORIGINS: 'https://a.example,https://b.example' })
  const from = (origin?: string) => ask(url, question, { headers: origin === undefined ? {} : { origin } })
  for (const cache of ['MISS', 'HIT']) {
    for (const origin of ['https://a.example', 'https://b.example']) {
      t.match(await from(origin), {
        cache,
        headers: { 'access-control-allow-origin': origin, vary: 'Accept-Language, Origin' },
      })
    }
    for (const other of ['https://evil.example', undefined]) {
      const answer = await from(other)
      t.match(answer, { status: 200, cache })
      t.notOk('access-control-allow-origin' in answer.headers, String(other))
    }
  }
  t.equal(service.seen.length, 4)
})

t.test('without CORS_ORIGINS the origin splits nothing: all share one copy', async (t) => {
  const { url, service } = await edgeForTest(t, {})
  for (const origin of ['https://a.example', 'https://b.example', 'https://c.example'])
    t.notOk('access-control-allow-origin' in (await ask(url, question, { headers: { origin } })).headers)
  t.equal(service.seen.length, 1)
})

t.test('what a client may still ask is said of its own requests, and not of a copy', async (t) => {
  const { url } = await edgeForTest(t, { RATE_LIMIT_PER_MINUTE: '2' })
  const [miss, hit, other, refused] = [
    await ask(url, question),
    await ask(url, question),
    await ask(url, `${question}&language=en`),
    await ask(url, '/api/create_subtopics', { method: 'POST', body: '{}' }),
  ]
  t.match(miss, { cache: 'MISS', headers: { 'ratelimit-limit': '2', 'ratelimit-remaining': '1' } })
  t.match(hit, { status: 200, cache: 'HIT' })
  t.notOk('ratelimit-limit' in hit.headers)
  t.match(other.headers, { 'ratelimit-remaining': '0', 'ratelimit-reset': /^\d+$/ })
  t.match(refused, { status: 429, headers: { 'ratelimit-remaining': '0', 'retry-after': /^\d+$/ } })
})
