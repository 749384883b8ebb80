import { createApp, createLogger } from '@knowalledge/service-kit'
import t from 'tap'
import { rateLimits } from '../../src/admission/rate-limits.ts'
import { clientAddress } from '../../src/auth/caller.ts'
import { auth, identifyClients } from '../../src/auth/plugin.ts'
import { loadConfig } from '../../src/config.ts'
import { bearer, dayMs, doorForTest, gatewaySecret, sessionSecret } from './fixtures.ts'

const learningRoutes: [method: string, path: string][] = [
  ['POST', '/api/create_subtopics'],
  ['POST', '/api/create_presentation'],
  ['POST', '/api/image2topic'],
  ['POST', '/api/generate_image'],
  ['GET', '/api/subtopics?topic=Light'],
  ['GET', '/api/explanation?topic=Light'],
  ['GET', `/api/images/${'0'.repeat(64)}`],
]
const openRoutes = [
  '/health',
  '/ready',
  '/metrics',
  '/api/health',
  '/api/ready',
  '/api/quota/stats',
  '/docs/',
  '/openapi.json',
]

t.test('every learning route needs a key, by either header; what says how things are does not', async (t) => {
  const { ask, makeKey, passedOn } = await doorForTest(t)
  const { secret } = await makeKey()
  for (const [method, path] of learningRoutes) {
    const refused = await ask(path, {}, method)
    t.equal(refused.status, 401, path)
    t.equal(refused.headers.get('www-authenticate'), 'Bearer')
    t.match(await refused.json(), { error: 'unauthorized', message: String })
    t.equal(passedOn.length, 0, 'no service was asked')
  }
  for (const [method, path] of learningRoutes)
    for (const headers of [bearer(secret), { authorization: `bearer  ${secret}` }, { 'x-api-key': secret }])
      t.equal((await ask(path, headers, method)).status, 200, path)
  for (const path of openRoutes) t.equal((await ask(path)).status, 200, path)
})

t.test('two headers that name different keys are a 400, the same one twice is fine', async (t) => {
  const { ask, makeKey } = await doorForTest(t)
  const [one, two] = [await makeKey(), await makeKey()]
  const path = '/api/subtopics'
  t.equal((await ask(path, { ...bearer(one.secret), 'x-api-key': one.secret })).status, 200)
  const reply = await ask(path, { ...bearer(one.secret), 'x-api-key': two.secret })
  t.equal(reply.status, 400)
  t.match(await reply.json(), { error: 'invalid_input', message: /Authorization and X-API-Key/ })
})

t.test('unknown, expired, revoked and malformed: the same answer for the same one look-up', async (t) => {
  const { ask, clock, keys, makeKey, redis } = await doorForTest(t)
  const [expired, revoked] = [await makeKey('a', 1), await makeKey('a', 9)]
  for (const { secret } of [expired, revoked]) t.equal((await ask('/api/subtopics', bearer(secret))).status, 200)
  await keys.revoke(revoked.key.id)
  clock.nowMs += dayMs
  const lookups = async () => Number(/cmdstat_hget:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1])
  const shown = {
    unknown: `kae_${'A'.repeat(43)}`,
    expired: expired.secret,
    revoked: revoked.secret,
    empty: '',
    short: 'kae_',
    long: 'x'.repeat(8_000),
    binary: 'kae_\u00ff\u00fe',
    'public id': revoked.key.id,
    digest: expired.key.digest,
  }
  const answers = new Set<string>()
  for (const [what, secret] of Object.entries(shown)) {
    const before = await lookups()
    const reply = await ask('/api/subtopics', bearer(secret))
    t.equal((await lookups()) - before, 1, what)
    const { 'x-request-id': _, date: __, ...headers } = Object.fromEntries(reply.headers)
    answers.add(JSON.stringify([reply.status, headers, await reply.json()]))
  }
  t.equal(answers.size, 1)
  t.match([...answers][0], /^\[401,.*"www-authenticate":"Bearer".*"error":"unauthorized"/)
})

t.test('a key whose id is right and the rest is not is refused', async (t) => {
  const { ask, makeKey, redis } = await doorForTest(t)
  const [real, other] = [await makeKey(), await makeKey()]
  // As if another key's digest began with the same 16 digits: 2⁶⁴ tries away, so the store is told.
  await redis.hset('gateway:keys', other.key.id, JSON.stringify({ ...real.key, id: other.key.id }))
  t.equal((await ask('/api/subtopics', bearer(other.secret))).status, 401)
})

t.test('a burst with one key is one look-up, and then none for a moment', async (t) => {
  const { ask, clock, keys, makeKey, redis } = await doorForTest(t)
  const { secret, key } = await makeKey()
  const lookups = async () => Number(/cmdstat_hget:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)
  const burst = () =>
    Promise.all(Array.from({ length: 50 }, async () => (await ask('/api/subtopics', bearer(secret))).status))
  t.same([...new Set(await burst())], [200])
  t.equal(await lookups(), 1)
  await keys.revoke(key.id)
  clock.nowMs += 2_999
  t.same([...new Set(await burst())], [200])
  t.equal(await lookups(), 1, 'a round trip is not paid for each request')
  clock.nowMs += 1
  t.same([...new Set(await burst())], [401], '3 s later it is known that the key is revoked')
})

for (const way of ['hung', 'refusing'] as const) {
  t.test(`with Redis ${way}, who was seen lately comes in and anybody else is told to try again`, async (t) => {
    const { ask, clock, makeKey, server, passedOn } = await doorForTest(t)
    const [known, unseen] = [await makeKey(), await makeKey()]
    t.equal((await ask('/api/subtopics', bearer(known.secret))).status, 200)
    if (way === 'hung') server.process.kill('SIGSTOP')
    else server.process.kill('SIGKILL')
    clock.nowMs += 5 * 60_000 - 1
    t.equal((await ask('/api/subtopics', bearer(known.secret))).status, 200, '5 minutes less a millisecond')
    for (const secret of [unseen.secret, 'kae_no-key-at-all']) {
      const reply = await ask('/api/subtopics', bearer(secret))
      t.equal(reply.status, 503)
      t.equal(reply.headers.get('retry-after'), '1')
      t.match(await reply.json(), { error: 'service_unavailable' })
    }
    t.equal((await ask('/api/subtopics')).status, 401, 'who shows nothing need not be looked up')
    clock.nowMs += 1
    t.equal((await ask('/api/subtopics', bearer(known.secret))).status, 503)
    t.equal(passedOn.length, 2)
    for (const path of ['/health', '/api/quota/stats']) t.equal((await ask(path)).status, 200)
  })
}

t.test('a key that expires while Redis is down is not let in from memory', async (t) => {
  const { ask, clock, makeKey, server } = await doorForTest(t)
  const { secret, key } = await makeKey('a', 1)
  clock.nowMs = key.expiresAtMs - 1
  t.equal((await ask('/api/subtopics', bearer(secret))).status, 200)
  server.process.kill('SIGSTOP')
  clock.nowMs += 1
  t.equal((await ask('/api/subtopics', bearer(secret))).status, 503)
})

t.test('when Redis can be used again keys are looked up again', async (t) => {
  const { ask, makeKey, server } = await doorForTest(t)
  const { secret } = await makeKey()
  server.process.kill('SIGSTOP')
  t.equal((await ask('/api/subtopics', bearer(secret))).status, 503)
  server.process.kill('SIGCONT')
  while ((await ask('/api/subtopics', bearer(secret))).status === 503);
  t.equal((await ask('/api/subtopics', bearer(secret))).status, 200)
})

t.test('answers are private to whoever asked, and vary by what was shown', async (t) => {
  const { ask, makeKey } = await doorForTest(t)
  const { secret } = await makeKey()
  const question = await ask('/api/subtopics', bearer(secret))
  t.equal(question.headers.get('cache-control'), 'private, max-age=300')
  t.equal(question.headers.get('vary'), 'Accept-Language, Authorization, Cookie, X-API-Key')
  const picture = await ask(`/api/images/${'0'.repeat(64)}`, bearer(secret))
  t.equal(picture.headers.get('cache-control'), 'private, max-age=31536000, immutable')
})

t.test('the admin token is no key, and opens the admin routes all the same', async (t) => {
  const { ask, post } = await doorForTest(t, { env: { ADMIN_TOKEN: 'a-token-of-the-test' } })
  const headers = bearer('a-token-of-the-test')
  t.equal((await post('/api/admin/cache/invalidate', '{"topic":"x"}', headers)).status, 200)
  t.equal((await ask('/api/subtopics', headers)).status, 401)
})

t.test('with AUTH=off nobody is asked, answers stay public and there are no sessions', async (t) => {
  const { ask, makeKey, passedOn, url } = await doorForTest(t, { env: { AUTH: 'off' } })
  const { secret } = await makeKey()
  for (const headers of [{}, bearer(secret), bearer('kae_wrong'), { cookie: '__Host-kae_session=x' }]) {
    const reply = await ask('/api/subtopics', headers)
    t.equal(reply.status, 200)
    t.match(reply.headers.get('cache-control'), /^public/)
  }
  t.equal(passedOn.length, 4)
  t.equal((await fetch(`${url}/api/session`, { method: 'POST', headers: bearer(secret) })).status, 404)
  t.notOk(JSON.stringify(await (await ask('/openapi.json')).json()).includes('securitySchemes'))
})

t.test('a caller is known by what is public, and comes with the tenant and its limits', async (t) => {
  const { keys, makeKey, redis, clock } = await doorForTest(t)
  const { secret, key } = await makeKey('school-b')
  await keys.setLimits('school-b', { rpm: 5 })
  const lines: string[] = []
  const destination = { write: (line: string) => void lines.push(line) }
  const app = await createApp({
    service: 'gateway',
    logger: createLogger({ level: 'info', pretty: false, destination }),
  })
  t.teardown(() => app.close())
  const onFault = () => {}
  const config = loadConfig({ AUTH: 'required', SESSION_SECRET: sessionSecret, GATEWAY_SECRET: gatewaySecret })
  await app.register(clientAddress)
  await app.register(rateLimits, { config, requestCounts: { redis: undefined, onFault } })
  await app.register(auth, { config, store: { redis, clock, onFault } })
  app.register(async (scope) => {
    await scope.register(identifyClients, config)
    scope.get('/caller', async (request) => request.caller)
  })
  const tenant = { id: 'school-b', limits: { rpm: 5 } }
  const address = '127.0.0.1'
  const byKey = await app.inject({ url: '/caller', headers: bearer(secret) })
  t.same(byKey.json(), { kind: 'key', id: key.id, keyId: key.id, tenant, address })
  const made = await app.identity?.sessions.create(key.id)
  const byCookie = await app.inject({ url: '/caller', headers: { cookie: `__Host-kae_session=${made?.cookie}` } })
  t.same(byCookie.json(), { kind: 'session', id: made?.session.id, keyId: key.id, tenant, address })
  t.match(
    lines.map((line) => JSON.parse(line) as object),
    [
      { caller: `key ${key.id}`, tenant: 'school-b' },
      { caller: `session ${made?.session.id}`, tenant: 'school-b' },
    ],
  )
  for (const hidden of [secret, made?.cookie ?? '', made?.session.csrfSecret ?? ''])
    t.notOk(lines.join().includes(hidden))
})

t.test('wrong keys beyond the limit of an address are a 429, and a valid one from there still passes', async (t) => {
  const { ask, makeKey } = await doorForTest(t, { env: { RATE_LIMIT_FAILED_LOGINS_PER_MINUTE: '3' } })
  const { secret } = await makeKey()
  const statuses = []
  for (let n = 0; n < 5; n++) {
    const headers = n % 2 === 0 ? bearer(`kae_wrong-${n}`) : { 'x-api-key': `kae_wrong-${n}` }
    statuses.push((await ask('/api/subtopics', headers)).status)
  }
  t.same(statuses, [401, 401, 401, 429, 429])
  const refused = await ask('/api/subtopics', bearer('kae_wrong'))
  t.match(await refused.json(), { error: 'rate_limited', message: /3 wrong keys in a minute.*(60|59) seconds/ })
  t.match(refused.headers.get('retry-after'), /^(60|59)$/)
  t.match(Object.fromEntries(refused.headers), { 'ratelimit-limit': '3', 'ratelimit-remaining': '0' })
  t.equal((await ask('/api/subtopics', bearer(secret))).status, 200)
  t.equal((await ask('/api/session', bearer(secret), 'POST')).status, 201)
  t.equal((await ask('/api/subtopics')).status, 401, 'being asked for a key is no wrong key')
})
