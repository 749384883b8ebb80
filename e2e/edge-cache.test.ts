import type { ServerResponse } from 'node:http'
import { nginxForTest } from '@knowalledge/testing'
import t from 'tap'
import { ask, upstreamForTest } from './edge-upstream.ts'

const cacheable = {
  'content-type': 'application/json',
  'cache-control': 'max-age=300, s-maxage=900, stale-if-error=86400',
}
const question = '/api/subtopics?topic=Light&language=en'

t.test('what says nothing of caching, no-store, a refused quota and every error are asked again', async (t) => {
  const answers: Record<string, [status: number, headers: Record<string, string>]> = {
    silent: [200, {}],
    'no-store': [200, { 'cache-control': 'no-store' }],
    private: [200, { 'cache-control': 'private, max-age=300' }],
    quota: [429, { 'cache-control': 'no-store', 'retry-after': '37' }],
    down: [503, { 'cache-control': 'no-store' }],
    'not-found': [404, {}],
  }
  const upstream = await upstreamForTest(t, (request, reply) => {
    const [status, headers] = answers[new URL(request.url ?? '', 'http://x').searchParams.get('topic') ?? ''] ?? [
      500,
      {},
    ]
    reply.writeHead(status, headers).end('{"error":"as it is"}')
  })
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  for (const [topic, [status, headers]] of Object.entries(answers)) {
    for (const _ of ['first', 'second']) {
      const answer = await ask(url, `/api/subtopics?topic=${topic}`)
      t.match(answer, { status, cache: 'MISS', body: '{"error":"as it is"}', headers })
    }
  }
  t.equal(upstream.seen.length, 2 * Object.keys(answers).length)
})

t.test('a POST is never cached, not even with headers that would allow it', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) => reply.writeHead(200, cacheable).end('{}'))
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  for (const path of ['/api/create_subtopics', question]) {
    for (const _ of ['first', 'second']) {
      t.match(await ask(url, path, { method: 'POST', body: '{}' }), { status: 200, cache: 'BYPASS' })
    }
  }
  t.equal(upstream.seen.length, 4)
})

t.test('questions that differ in a single byte never share an answer', async (t) => {
  const upstream = await upstreamForTest(t, (request, reply) => reply.writeHead(200, cacheable).end(request.url))
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  const questions = [
    '?topic=a%20b&language=en',
    '?topic=a+b&language=en',
    '?topic=A%20b&language=en',
    '?language=en&topic=a%20b',
    '?topic=a%20b&language=en&',
    '?topic=a%2520b&language=en',
    '?topic=a&topic=b',
    '?topic=b&topic=a',
  ]
  for (const cache of ['MISS', 'HIT'])
    for (const query of questions)
      t.match(await ask(url, `/api/subtopics${query}`), { cache, body: `/api/subtopics${query}` })
  t.match(await ask(url, '/api/explanation?topic=a%20b&language=en'), { cache: 'MISS' })
})

t.test('the longest valid question, every character escaped, is cached like any other', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) => reply.writeHead(200, cacheable).end('{}'))
  const { url, output } = await nginxForTest(t, { gateways: [upstream.url] })
  const long = (length: number) => encodeURIComponent('🌱'.repeat(length))
  const path = `/api/explanation?topic=${long(500)}&subtopic=${long(500)}&educationLevel=${long(100)}&levelOfDetail=${long(100)}&learningStyle=${long(100)}&language=en`
  t.match(await ask(url, path), { status: 200, cache: 'MISS' })
  t.match(await ask(url, path), { status: 200, cache: 'HIT' })
  t.equal(output(), '')
})

t.test('HEAD is answered from what GET has cached', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) => reply.writeHead(200, cacheable).end('{}'))
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  await ask(url, question)
  t.match(await ask(url, question, { method: 'HEAD' }), { status: 200, cache: 'HIT', body: '' })
})

t.test('an expired copy answers for a gateway that refuses or fails, and gives way to one that answers', async (t) => {
  let status = 200
  const upstream = await upstreamForTest(t, (_request, reply) =>
    reply.writeHead(status, status === 200 ? cacheable : { 'cache-control': 'no-store' }).end(`{"status":${status}}`),
  )
  const { url, age } = await nginxForTest(t, { gateways: [upstream.url] })
  t.match(await ask(url, question), { cache: 'MISS' })
  t.match(await ask(url, question), { cache: 'HIT' })
  await age(901)
  for (status of [429, 500, 502, 503, 504]) {
    t.match(await ask(url, question), { status: 200, cache: 'STALE', body: '{"status":200}' }, `${status}`)
  }
  status = 200
  t.match(await ask(url, question), { status: 200, cache: 'EXPIRED' })
  t.match(await ask(url, question), { status: 200, cache: 'HIT' })
})

t.test('while one asks for a new copy, the others get the old one', async (t) => {
  const waiting: ServerResponse[] = []
  let hold = false
  let answers = 0
  const upstream = await upstreamForTest(t, (_request, reply) => {
    reply.writeHead(200, cacheable)
    if (hold) waiting.push(reply)
    else reply.end(`{"answer":${++answers}}`)
  })
  const { url, age } = await nginxForTest(t, { gateways: [upstream.url] })
  await ask(url, question)
  t.match(await ask(url, question), { cache: 'HIT' })
  await age(901)
  hold = true
  const first = ask(url, question)
  while (waiting.length === 0) await new Promise(setImmediate)
  t.match(await ask(url, question), { cache: 'UPDATING', body: '{"answer":1}' })
  t.match(await ask(url, question), { cache: 'UPDATING', body: '{"answer":1}' })
  waiting[0]?.end('{"answer":2}')
  t.match(await first, { cache: 'EXPIRED', body: '{"answer":2}' })
  t.match(await ask(url, question), { cache: 'HIT', body: '{"answer":2}' })
  t.equal(upstream.seen.length, 2)
})

t.test('a copy that the gateway confirms with 304 is fresh again', async (t) => {
  const upstream = await upstreamForTest(t, (request, reply) => {
    const known = request.headers['if-none-match'] === 'W/"one"'
    reply.writeHead(known ? 304 : 200, { ...cacheable, etag: 'W/"one"' }).end(known ? '' : '{}')
  })
  const { url, age } = await nginxForTest(t, { gateways: [upstream.url] })
  await ask(url, question, { headers: { 'if-none-match': 'W/"a client\'s own"' } })
  t.match(upstream.seen, [{ headers: { 'if-none-match': undefined } }], 'what one client has is not asked for all')
  t.match(await ask(url, question), { cache: 'HIT' })
  await age(901)
  t.match(await ask(url, question), { status: 200, cache: 'REVALIDATED', body: '{}' })
  t.match(await ask(url, question), { cache: 'HIT' })
})

t.test('a burst that is refused does not stand in line for ever: the last is told within 15 s', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) =>
    reply.writeHead(429, { 'cache-control': 'no-store' }).end('{}'),
  )
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  const startedAt = Date.now()
  const answers = await Promise.all(Array.from({ length: 60 }, () => ask(url, question)))
  t.strictSame([...new Set(answers.map((answer) => answer.status))], [429])
  t.ok(Date.now() - startedAt < 15_000)
})
