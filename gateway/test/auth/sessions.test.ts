import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { bearer, doorForTest, login } from './fixtures.ts'

/** A browser's side of a session: its cookie, its token, and a change made with them. */
async function browserForTest(t: Test, env: Record<string, string> = {}) {
  const door = await doorForTest(t, { env })
  const { secret, key } = await door.makeKey()
  const cookie = await login(door.url, secret)
  const tokenOf = async (cookie: string) =>
    ((await (await door.ask('/api/csrf-token', { cookie })).json()) as { csrf_token: string }).csrf_token
  const change = (headers: Record<string, string>) => door.ask('/api/create_subtopics', headers, 'POST')
  const look = async (cookie: string) => (await door.ask('/api/session', { cookie })).status
  return { ...door, secret, key, cookie, tokenOf, change, look }
}

t.test('a key in a header becomes a cookie that no script reads, and Redis cannot give it away', async (t) => {
  const { url, makeKey, ask, clock, redis } = await doorForTest(t)
  const { secret } = await makeKey()
  const reply = await fetch(`${url}/api/session`, { method: 'POST', headers: bearer(secret) })
  t.equal(reply.status, 201)
  t.equal(reply.headers.get('cache-control'), 'no-store')
  t.match(reply.headers.get('set-cookie'), /^__Host-kae_session=[^;]+; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  const about = {
    tenant: 'school-a',
    expires_at: new Date(clock() + 12 * 3_600_000).toISOString(),
    idle_expires_at: new Date(clock() + 3_600_000).toISOString(),
  }
  t.same(await reply.json(), about)
  const cookie = String(reply.headers.get('set-cookie')).split(';', 1)[0] as string
  const seen = await ask('/api/session', { cookie })
  t.equal(seen.status, 200)
  t.same(await seen.json(), about)
  t.equal((await ask('/api/subtopics', { cookie })).status, 200, 'and it opens what the key opens')

  const sessionId = decodeURIComponent(cookie.split('=')[1] ?? '').split('.', 1)[0] ?? ''
  t.equal(Buffer.from(sessionId, 'base64url').length, 32, '256 bits')
  const [name = ''] = await redis.keys('gateway:session:*')
  t.equal(name, nameOf(cookie))
  t.notOk((await redis.get(name))?.includes(sessionId))
})

t.test('COOKIE_SECURE=false leaves the flag out, for plain HTTP', async (t) => {
  const { url, makeKey } = await doorForTest(t, { env: { COOKIE_SECURE: 'false' } })
  const { secret } = await makeKey()
  const reply = await fetch(`${url}/api/session`, { method: 'POST', headers: bearer(secret) })
  t.match(reply.headers.get('set-cookie'), /; Path=\/; HttpOnly; SameSite=Lax$/)
})

t.test('a session needs a key to begin with: not a body, not another session, not a wrong key', async (t) => {
  const { url, secret, cookie, ask } = await browserForTest(t)
  const token = { 'x-csrf-token': 'any' }
  for (const headers of [{}, bearer('kae_wrong'), { cookie }, { cookie, ...token }] as Record<string, string>[]) {
    const reply = await fetch(`${url}/api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ key: secret }),
    })
    t.equal(reply.status, 401)
    t.equal(reply.headers.get('www-authenticate'), 'Bearer')
    t.equal(reply.headers.get('set-cookie'), null)
  }
  for (const path of ['/api/session', '/api/csrf-token']) {
    t.equal((await ask(path)).status, 401)
    t.equal((await ask(path, bearer(secret))).status, 401, 'a key is no session')
  }
})

t.test('each login makes a new id and ends the session that came with it', async (t) => {
  const { url, secret, cookie, look } = await browserForTest(t)
  const planted = '__Host-kae_session=planted-by-an-attacker'
  const second = await login(url, secret, { cookie: planted })
  t.notOk(second.includes('planted'))
  const third = await login(url, secret, { cookie })
  t.not(third, cookie)
  t.equal(await look(cookie), 401)
  t.equal(await look(third), 200)
  t.equal(await look(second), 200, 'other browsers’ sessions go on')
})

t.test('a forged or damaged cookie is a 401 and asks nobody', async (t) => {
  const { cookie, ask, redis } = await browserForTest(t)
  const getex = async () => /cmdstat_getex:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1]
  const before = await getex()
  const value = cookie.slice('__Host-kae_session='.length)
  for (const forged of [
    '',
    'x',
    '.',
    `${value}x`,
    `x${value}`,
    value.slice(0, value.indexOf('.')),
    '%',
    'a.b.c',
    `"${value}`,
  ]) {
    const reply = await ask('/api/subtopics', { cookie: `__Host-kae_session=${forged}` })
    t.equal(reply.status, 401, forged)
  }
  t.equal(await getex(), before)
})

t.test('a change in a session’s name needs its token; what only looks does not; a key needs none', async (t) => {
  const { cookie, secret, change, tokenOf, url, ask, passedOn } = await browserForTest(t)
  const token = await tokenOf(cookie)
  const another = await login(url, secret)
  const wrong: Record<string, string>[] = [
    { cookie },
    { cookie, 'x-csrf-token': '' },
    { cookie, 'x-csrf-token': `${token}x` },
    { cookie, 'x-csrf-token': token.slice(0, -1) },
    { cookie: another, 'x-csrf-token': token },
    { cookie, 'csrf-token': token },
    { cookie, 'x-csrf-token': token, 'sec-fetch-site': 'cross-site' },
  ]
  for (const headers of wrong) {
    const reply = await change(headers)
    t.equal(reply.status, 403, JSON.stringify(headers))
    t.match(await reply.json(), { error: 'csrf_rejected', message: String })
  }
  t.equal(passedOn.length, 0)
  t.equal((await ask('/api/session', { cookie }, 'DELETE')).status, 403)
  t.equal((await change({ cookie, 'x-csrf-token': token })).status, 200)
  t.equal((await change({ cookie, 'x-csrf-token': token, 'sec-fetch-site': 'same-origin' })).status, 200)
  t.equal(
    (await change({ cookie, 'x-csrf-token': await tokenOf(cookie) })).status,
    200,
    'each token of the session holds',
  )
  t.equal((await ask('/api/subtopics', { cookie })).status, 200)
  t.equal((await change({ ...bearer(secret), cookie })).status, 200, 'the key counts')
  t.equal((await change({ 'x-api-key': secret, cookie: '__Host-kae_session=x' })).status, 200)
  t.equal((await change({ ...bearer('kae_wrong'), cookie, 'x-csrf-token': token })).status, 401, 'also a wrong one')
})

t.test('DELETE ends it: in Redis, here at once, and the browser is told', async (t) => {
  const { cookie, tokenOf, ask, look, redis, secret } = await browserForTest(t)
  const reply = await ask('/api/session', { cookie, 'x-csrf-token': await tokenOf(cookie) }, 'DELETE')
  t.equal(reply.status, 204)
  t.equal(await reply.text(), '')
  t.match(reply.headers.get('set-cookie'), /^__Host-kae_session=; Max-Age=0; Path=\/; Expires=Thu, 01 Jan 1970/)
  t.same(await redis.keys('gateway:session:*'), [])
  t.equal(await look(cookie), 401)
  t.equal((await ask('/api/session', bearer(secret), 'DELETE')).status, 401, 'there is none to end')
})

t.test('a logout is not undone by a request that is on its way', async (t) => {
  const { cookie, tokenOf, ask, look, redis, clock } = await browserForTest(t)
  const token = await tokenOf(cookie)
  clock.nowMs += 3_000 // so that Redis is asked again
  const [first] = await Promise.all([
    ask('/api/session', { cookie, 'x-csrf-token': token }, 'DELETE'),
    ...Array.from({ length: 20 }, () => ask('/api/subtopics', { cookie })),
  ])
  t.equal(first.status, 204)
  t.same(await redis.keys('gateway:session:*'), [])
  t.equal(await look(cookie), 401)
})

t.test('idle: Redis ends it after SESSION_IDLE_MINUTES, and each use begins them anew', async (t) => {
  const { cookie, look, redis, clock } = await browserForTest(t, { SESSION_IDLE_MINUTES: '5' })
  const [name = ''] = await redis.keys('gateway:session:*')
  t.ok((await redis.pttl(name)) > 290_000)
  await redis.pexpire(name, 20_000) // as after 280 s
  clock.nowMs += 280_000
  t.equal(await look(cookie), 200)
  t.ok((await redis.pttl(name)) > 290_000, 'it was used')
  clock.nowMs += 300_000
  await redis.pexpire(name, 0)
  t.equal(await look(cookie), 401)
})

t.test('absolute: however much it is used it ends SESSION_MAX_HOURS after the login', async (t) => {
  const { cookie, look, clock } = await browserForTest(t, { SESSION_MAX_HOURS: '1' })
  for (let minutes = 0; minutes < 59; minutes++) {
    clock.nowMs += 60_000
    t.equal(await look(cookie), 200)
  }
  clock.nowMs += 59_999
  t.equal(await look(cookie), 200)
  clock.nowMs += 1
  t.equal(await look(cookie), 401)
})

t.test('it ends with its key, when that is revoked or expires', async (t) => {
  const { url, cookie, key, keys, look, clock, makeKey, ask } = await browserForTest(t)
  const short = await makeKey('school-b', 1 / 24)
  const expiring = await login(url, short.secret)
  t.match(await (await ask('/api/session', { cookie: expiring })).json(), {
    expires_at: new Date(short.key.expiresAtMs).toISOString(),
  })
  t.equal(await look(cookie), 200)
  await keys.revoke(key.id)
  clock.nowMs += 3_000
  t.equal(await look(cookie), 401)
  clock.nowMs = short.key.expiresAtMs - 1
  t.equal(await look(expiring), 200)
  clock.nowMs += 1
  t.equal(await look(expiring), 401)
})

t.test(
  'with Redis down a session that was seen lately goes on, any other is a 503, and none begins or ends',
  async (t) => {
    const { url, secret, cookie, tokenOf, ask, look, clock, server } = await browserForTest(t)
    const unseen = await login(url, secret)
    const token = await tokenOf(cookie)
    server.process.kill('SIGSTOP')
    clock.nowMs += 299_000
    t.equal(await look(cookie), 200)
    const startedAt = performance.now()
    t.equal(await look(unseen), 503)
    t.ok(performance.now() - startedAt < 500, 'promised: about 100 ms')
    t.equal((await ask('/api/session', { cookie, 'x-csrf-token': token }, 'DELETE')).status, 503)
    t.equal((await fetch(`${url}/api/session`, { method: 'POST', headers: bearer(secret) })).status, 503)
    t.equal(await look('__Host-kae_session=made-up'), 401)
    clock.nowMs += 2_000
    t.equal(await look(cookie), 503)
  },
)

t.test('the documents say what needs what', async (t) => {
  const { ask } = await browserForTest(t)
  const { components, paths } = (await (await ask('/openapi.json')).json()) as Record<string, Record<string, object>>
  t.match(components?.securitySchemes, {
    bearer: { scheme: 'bearer' },
    apiKey: { name: 'X-API-Key' },
    session: { in: 'cookie' },
  })
  t.match(paths?.['/api/session'], {
    post: { security: [{ bearer: [] }, { apiKey: [] }], responses: { 201: {}, 401: {}, 503: {} } },
    get: { security: [{ session: [] }], responses: { 200: {}, 401: {} } },
    delete: { security: [{ session: [] }], responses: { 204: {}, 401: {}, 403: {} } },
  })
  t.notMatch(paths?.['/api/health'], { get: { security: Array } })
})

t.test('a key has at most MAX_SESSIONS_PER_KEY: a login ends the oldest of those that still live', async (t) => {
  const { url, secret, cookie, look, ask, tokenOf, redis, clock, makeKey } = await browserForTest(t, {
    MAX_SESSIONS_PER_KEY: '3',
  })
  const later = async () => {
    clock.nowMs += 1
    return await login(url, secret)
  }
  const [second, third] = [await later(), await later()]
  const others = await login(url, (await makeKey()).secret)
  const ended = await ask('/api/session', { cookie: second, 'x-csrf-token': await tokenOf(second) }, 'DELETE')
  t.equal(ended.status, 204)
  const fourth = await later()
  t.same([await look(cookie), await look(third), await look(fourth)], [200, 200, 200])
  const idle = await later()
  clock.nowMs += 10_000 // so that nothing is remembered
  t.same([await look(cookie), await look(third), await look(fourth), await look(idle)], [401, 200, 200, 200])
  await redis.del(nameOf(idle)) // as Redis does when it was idle for too long
  const newest = await later()
  clock.nowMs += 10_000
  const all = [third, fourth, idle, newest, others]
  t.same(await Promise.all(all.map(look)), [200, 200, 401, 200, 200], 'nobody had to make room')
})

/** Where Redis keeps the session of this cookie. */
function nameOf(cookie: string): string {
  const sessionId = decodeURIComponent(cookie.split('=')[1] ?? '').split('.', 1)[0] ?? ''
  return `gateway:session:${createHash('sha256').update(sessionId).digest('hex')}`
}
