import { nginxForTest } from '@knowalledge/testing'
import t from 'tap'
import { doorsForTest, login } from './doors.ts'
import { ask, upstreamForTest } from './edge-upstream.ts'

const question = '/api/subtopics?topic=Light&language=en'

t.test('what one caller was let in for is never given to another', async (t) => {
  const { doors, keys, service } = await doorsForTest(t)
  const key = await keys('create', '--tenant', 'school-a')
  const cookie = await login(doors[0], key)
  const { url } = await nginxForTest(t, { gateways: doors.map((door) => door.url) })
  const shown: Record<string, string>[] = [{ authorization: `Bearer ${key}` }, { 'x-api-key': key }, { cookie }]
  for (const _ of ['first', 'second']) {
    for (const headers of shown) {
      const answer = await ask(url, question, { headers })
      t.match(answer, { status: 200, cache: 'BYPASS', headers: { 'cache-control': 'private, max-age=300' } })
    }
    t.match(await ask(url, question), { status: 401, cache: 'MISS', headers: { 'cache-control': 'no-store' } })
    const wrong = await ask(url, question, { headers: { 'x-api-key': 'kae_wrong' } })
    t.match(wrong, { status: 401, cache: 'BYPASS', headers: { 'www-authenticate': 'Bearer' } })
  }
  t.equal(service.seen.filter(({ url }) => url === question).length, 6)
  const another = await ask(url, '/api/session', { method: 'POST', headers: { 'x-api-key': key } })
  t.match(
    another,
    { status: 201, headers: { 'set-cookie': [/^__Host-kae_session=/] } },
    'sessions are made through the edge too',
  )
})

t.test('who shows a key or a session is not answered from the edge, and leaves nothing there', async (t) => {
  let answers = 0
  const upstream = await upstreamForTest(t, (_request, reply) =>
    reply.writeHead(200, { 'cache-control': 'public, s-maxage=900' }).end(String(++answers)),
  )
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  const shown: Record<string, string>[] = [
    { authorization: 'Bearer x' },
    { 'x-api-key': 'x' },
    { cookie: 'theme=dark; kae_session=x' },
    { cookie: '__Host-kae_session=x' },
  ]
  for (const headers of shown) t.match(await ask(url, question, { headers }), { cache: 'BYPASS' })
  t.match(await ask(url, question), { cache: 'MISS', body: '5' })
  for (const headers of shown) t.match(await ask(url, question, { headers }), { cache: 'BYPASS' })
  t.match(await ask(url, question, { headers: { cookie: 'theme=dark' } }), { cache: 'HIT', body: '5' })
})
