import { freePort, processForTest, runKeys } from '@knowalledge/testing'
import t from 'tap'
import { gatewaySecret, login, sessionSecret } from './doors.ts'
import { fleetForTest } from './fleet.ts'
import { documentedAnswers, type OpenapiDocument, untruths } from './openapi-document.ts'

t.test('OpenAPI tells the truth with AUTH=required: sessions, and who is not let in', async (t) => {
  const env = { AUTH: 'required', SESSION_SECRET: sessionSecret, GATEWAY_SECRET: gatewaySecret }
  const { gateway, redis } = await fleetForTest(t, { env })
  const { url } = gateway
  const nowhere = { REDIS_URL: `redis://127.0.0.1:${await freePort()}`, LOG_LEVEL: 'silent' }
  const dead = await processForTest(t, 'gateway/src/server.ts', { env: { ...env, ...nowhere } })
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as OpenapiDocument
  const key = { 'x-api-key': await runKeys(redis.url, 'create', '--tenant', 'school-a') }
  const cookie = await login(gateway, key['x-api-key'])
  const csrf = await fetch(`${url}/api/csrf-token`, { headers: { cookie } })
  const { csrf_token: token } = (await csrf.json()) as { csrf_token: string }

  type Asked = { headers?: Record<string, string>; at?: string }
  const withSession: Asked = { headers: { cookie } }
  const withoutRedis: Asked = { ...withSession, at: dead.url }
  const situations: Record<string, Record<number, Asked>> = {
    'POST /api/session': {
      201: { headers: key },
      400: { headers: { ...key, authorization: 'Bearer another' } },
      401: {},
      503: { headers: key, at: dead.url },
    },
    'GET /api/session': { 200: withSession, 401: {}, 503: withoutRedis },
    'GET /api/csrf-token': { 200: withSession, 401: {}, 503: withoutRedis },
    'DELETE /api/session': {
      401: {},
      403: withSession,
      503: { headers: { cookie, 'x-csrf-token': token }, at: dead.url },
      204: { headers: { cookie, 'x-csrf-token': token } }, // the last one: the session is gone
    },
  }
  const documented = documentedAnswers(document)
  t.strictSame(
    documented.filter((answer) => / \/api\/(session|csrf-token) /.test(answer)).toSorted(),
    Object.entries(situations)
      .flatMap(([operation, answers]) => Object.keys(answers).map((status) => `${operation} ${status}`))
      .toSorted(),
  )
  const see = async (operation: string, status: number, { headers = {}, at = url }: Asked) => {
    const [method = '', path] = operation.split(' ')
    const reply = await fetch(at + path, { method, headers })
    t.equal(reply.status, status, `${operation} ${status}`)
    const answer = { status: reply.status, headers: reply.headers, body: await reply.text() }
    t.strictSame(untruths(document, operation, answer), [], `${operation} ${status} is as documented`)
  }
  const learning = documented.filter((answer) => / 40[13]$/.test(answer) && !/session|csrf|admin/.test(answer))
  t.ok(learning.length > 0)
  for (const answer of learning) {
    const [, operation = '', status] = /^(.*) (\d+)$/.exec(answer) ?? []
    await see(operation, Number(status), status === '403' ? withSession : {})
  }
  for (const status of [200, 201, 400, 401, 403, 503, 204])
    for (const [operation, answers] of Object.entries(situations))
      if (answers[status]) await see(operation, status, answers[status])
})
