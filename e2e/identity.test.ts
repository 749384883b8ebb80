import { runCommand, type TestProcess } from '@knowalledge/testing'
import t from 'tap'
import { doorsForTest, login, sessionSecret, statusOf } from './doors.ts'
import { eventually } from './fleet.ts'

async function tokenAt(door: TestProcess, cookie: string): Promise<string> {
  const reply = await fetch(`${door.url}/api/csrf-token`, { headers: { cookie } })
  return ((await reply.json()) as { csrf_token: string }).csrf_token
}

t.test('a revoked key, and a session made with it, is refused everywhere within 5 s', async (t) => {
  const { doors, keys } = await doorsForTest(t)
  const key = await keys('create', '--tenant', 'school-a', '--rpm', '5')
  const cookie = await login(doors[0], key)
  const shown = [{ authorization: `Bearer ${key}` }, { 'x-api-key': key }, { cookie }] as Record<string, string>[]
  const statuses = () => Promise.all(doors.flatMap((door) => shown.map((headers) => statusOf(door, headers))))
  t.same(await statuses(), [200, 200, 200, 200, 200, 200])
  const [{ id }] = JSON.parse(await keys('list', '--json')) as [{ id: string }]
  const revoking = keys('revoke', id)
  const isRevoked = revoking.then(() => true)
  while (!(await Promise.race([isRevoked, statuses().then(() => false)]))); // in use all the while, and so remembered
  const revokedAt = Date.now()
  await eventually(statuses, (seen) => seen.every((status) => status === 401))
  t.ok(Date.now() - revokedAt < 5_000, `${Date.now() - revokedAt} ms`)
})

t.test('a session made at one gateway works at another, and survives a restart', async (t) => {
  const { doors, keys, start } = await doorsForTest(t)
  const [first, second] = doors
  const cookie = await login(first, await keys('create', '--tenant', 'school-a'))
  t.equal(await statusOf(second, { cookie }), 200)
  const token = await tokenAt(first, cookie)
  const change = (door: TestProcess, headers: Record<string, string>) =>
    fetch(`${door.url}/api/create_subtopics`, { method: 'POST', headers: { cookie, ...headers } })
  t.equal((await change(second, { 'x-csrf-token': token })).status, 200, 'and so does its token')
  t.equal((await change(second, {})).status, 403)

  await first.stop('SIGKILL')
  const again = await start({ port: Number(new URL(first.url).port) })
  t.equal(await statusOf(again, { cookie }), 200)
  t.equal((await change(again, { 'x-csrf-token': token })).status, 200)
  const stranger = await start({ env: { SESSION_SECRET: 'another-secret-of-another-deployment' } })
  t.equal(await statusOf(stranger, { cookie }), 401)

  const end = await fetch(`${second.url}/api/session`, {
    method: 'DELETE',
    headers: { cookie, 'x-csrf-token': await tokenAt(again, cookie) },
  })
  t.equal(end.status, 204)
  t.equal(await statusOf(second, { cookie }), 401)
  const endedAt = Date.now()
  await eventually(
    () => statusOf(again, { cookie }),
    (status) => status === 401,
  )
  t.ok(Date.now() - endedAt < 5_000, 'and the other gateway knows within 5 s')
})

t.test('with Redis hung or dead, those who were seen lately go on, and others are told to try again', async (t) => {
  const { doors, keys, redis } = await doorsForTest(t)
  const [door, other] = doors
  const key = await keys('create', '--tenant', 'school-a')
  const cookie = await login(door, key)
  t.equal(await statusOf(door, { 'x-api-key': key }), 200)
  t.equal(await statusOf(door, { cookie }), 200)
  for (const fault of ['SIGSTOP', 'SIGKILL'] as const) {
    redis.process.kill(fault)
    const known = () => Promise.all([statusOf(door, { 'x-api-key': key }), statusOf(door, { cookie })])
    t.same(await known(), [200, 200], fault)
    for (const shown of [{ 'x-api-key': key }, { cookie }, { 'x-api-key': 'kae_unknown' }] as Record<
      string,
      string
    >[]) {
      const askedAt = Date.now()
      t.equal(await statusOf(other, shown), 503, fault)
      t.ok(Date.now() - askedAt < 1_000, 'promised: about 100 ms')
    }
    t.equal(await statusOf(other, {}), 401)
    t.equal(await statusOf(other, {}, '/api/quota/stats'), 200)
  }
  await redis.restart() // empty: every key is gone
  await eventually(
    async () => [await statusOf(door, { 'x-api-key': key }), await statusOf(other, { cookie })],
    (statuses) => statuses.every((status) => status === 401),
  )
})

t.test('who asked is in the log, and no key, cookie, token or secret is', async (t) => {
  const { doors, keys } = await doorsForTest(t, { LOG_LEVEL: 'trace' })
  const [door] = doors
  const key = await keys('create', '--tenant', 'school-a')
  const cookie = await login(door, key)
  const token = await tokenAt(door, cookie)
  const headers = { cookie, 'x-csrf-token': token, 'content-type': 'application/json' }
  const change = (more: Record<string, string>) =>
    fetch(`${door.url}/api/create_subtopics`, { method: 'POST', headers: { ...headers, ...more }, body: '{}' })
  t.equal((await change({ 'x-request-id': 'by-session' })).status, 200)
  t.equal((await change({ 'x-csrf-token': 'token-that-is-wrong' })).status, 403)
  t.equal((await change({ 'x-api-key': key, 'x-request-id': 'by-key' })).status, 200)
  t.equal(await statusOf(door, { 'x-api-key': 'kae_wrong-one' }), 401)
  t.equal(await statusOf(door, { 'x-api-key': key, authorization: 'Bearer kae_wrong-two' }), 400)
  t.equal(await statusOf(door, { cookie: `${cookie}-forged-three` }), 401)
  t.equal(
    (await fetch(`${door.url}/api/session`, { method: 'DELETE', headers: { cookie, 'x-csrf-token': token } })).status,
    204,
  )
  await door.stop()

  const lines = door.output().trim().split('\n')
  const logged = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  const lineOf = (id: string) => logged.find((line) => line.request_id === id && line.msg === 'request completed')
  t.match(lineOf('by-session'), { caller: /^session [0-9a-f]{16}$/, tenant: 'school-a', status: 200 })
  t.match(lineOf('by-key'), { caller: /^key [0-9a-f]{16}$/, tenant: 'school-a', status: 200 })
  const value = decodeURIComponent(cookie.slice('__Host-kae_session='.length))
  const hidden = [
    key.slice(4),
    value.slice(0, 43),
    value.slice(44),
    token,
    sessionSecret,
    'wrong-one',
    'wrong-two',
    'forged-three',
    'token-that-is-wrong',
  ]
  for (const text of hidden) t.notOk(lines.join('\n').includes(text), `${text} is in no line`)
})

t.test('AUTH=required without what it needs is one message that names it, also in one process', async (t) => {
  for (const file of ['gateway/src/server.ts', 'scripts/start.ts']) {
    const { code, stderr } = await runCommand(file, { env: { AUTH: 'required', REDIS_ENABLED: 'false', PORT: '0' } })
    t.equal(code, 1)
    t.match(stderr, /AUTH=required with REDIS_ENABLED=false: .*REDIS_URL/)
    t.match(stderr, /SESSION_SECRET is required with AUTH=required/)
    if (file.startsWith('gateway')) t.match(stderr, /GATEWAY_SECRET is required with AUTH=required/)
  }
})
