import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { answerTags } from '@knowalledge/response-cache'
import { hostileJson } from '@knowalledge/testing'
import t from 'tap'
import { gatewayForTest } from '../fixtures.ts'

const token = 'a-token-of-the-test'
const path = '/api/admin/cache/invalidate'
const authorization = `Bearer ${token}`

t.test('drops by operation, by topic, or by both at once', async (t) => {
  const { cache, post, logged } = await gatewayForTest(t, { ADMIN_TOKEN: token })
  const entries = [
    { operation: 'create_subtopics', topic: 'Light' },
    { operation: 'create_presentation', topic: 'light' },
    { operation: 'create_subtopics', topic: 'Sound' },
    { operation: 'create_presentation', topic: 'Sound' },
  ]
  const table: [body: object, left: number[]][] = [
    [{ topic: ' LIGHT ' }, [2, 3]],
    [{ operation: 'create_subtopics' }, [1, 3]],
    [{ operation: 'create_subtopics', topic: 'Sound' }, [0, 1, 3]],
    [{ topic: 'Heat' }, [0, 1, 2, 3]],
  ]
  for (const [body, left] of table) {
    for (const [n, entry] of entries.entries()) await cache.set(`key ${n}`, n, { tags: answerTags(entry) })
    const reply = await post(path, JSON.stringify(body), { authorization })
    t.equal(reply.status, 200)
    const found = await Promise.all(entries.map((_, n) => cache.get<number>(`key ${n}`)))
    t.same(
      found.flatMap((answer) => answer?.value ?? []),
      left,
      JSON.stringify(body),
    )
  }
  t.match(
    logged.filter(({ audit }) => audit),
    table.map(() => ({ audit: 'cache_invalidate', address: '127.0.0.1', request_id: String })),
  )
})

t.test('a wrong or missing token is a 401, and bad input a 400', async (t) => {
  const { post } = await gatewayForTest(t, { ADMIN_TOKEN: token })
  for (const wrong of ['', token, 'Bearer ', `Bearer ${token}x`, `bearer ${token}`, 'Basic YTpi']) {
    const reply = await post(path, '{"topic":"x"}', wrong === '' ? {} : { authorization: wrong })
    t.equal(reply.status, 401, wrong)
    t.match(await reply.json(), { error: 'unauthorized' })
  }
  for (const body of ['{}', '{"operation":"everything"}', '{"topic":""}', '[]']) {
    const reply = await post(path, body, { authorization })
    t.equal(reply.status, 400, body)
    t.match(await reply.json(), { error: 'invalid_input', message: /topic|operation|body/ })
  }
})

t.test('without ADMIN_TOKEN the route does not exist', async (t) => {
  const { post } = await gatewayForTest(t)
  t.equal((await post(path, '{"topic":"x"}', { authorization: 'Bearer ' })).status, 404)
})

t.test('JSON made to harm is a 400', async (t) => {
  const { post } = await gatewayForTest(t, { ADMIN_TOKEN: token })
  for (const [name, body] of hostileJson('topic')) {
    const reply = await post(path, body, { authorization })
    t.equal(reply.status, 400, name)
    t.match(await reply.json(), { error: 'invalid_input' }, name)
  }
  t.equal(({} as { polluted?: boolean }).polluted, undefined)
})

t.test('an address that has shown too many wrong tokens cannot try another one, as it might be guessed', async (t) => {
  const env = { ADMIN_TOKEN: token, RATE_LIMIT_FAILED_LOGINS_PER_MINUTE: '2' }
  const { url, post } = await gatewayForTest(t, env)
  const status = async (headers: Record<string, string>) => (await post(path, '{"topic":"x"}', headers)).status
  t.same([await status({}), await status({}), await status({})], [401, 401, 401], 'no token is no wrong token')
  const wrong = { authorization: 'Bearer guessed' }
  t.same([await status(wrong), await status(wrong), await status(wrong)], [401, 401, 429])
  t.equal(await status({ authorization }), 429)
  const headers = { authorization, 'content-type': 'application/json' }
  const elsewhere = request(url + path, { method: 'POST', localAddress: '127.0.0.2', headers })
  elsewhere.end('{"topic":"x"}')
  const [reply] = (await once(elsewhere, 'response')) as [IncomingMessage]
  reply.resume()
  t.equal(reply.statusCode, 200)
})
