import t, { type Test } from 'tap'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'
import { bearer, doorForTest, gatewaySecret, sessionSecret } from './fixtures.ts'

const page = { origin: 'http://localhost:3000' }

/** A gateway with AUTH=off before a service that says which client and which secret it was told. */
async function gatewayBeforeEcho(t: Test, env: Record<string, string> = {}) {
  const service = await serviceForTest(t, (request, response) => {
    request.resume()
    response.end(JSON.stringify([request.headers['x-client'], request.headers['x-gateway-secret']]))
  })
  const gateway = await gatewayForTest(t, { TEXT_GENERATION_URL: service, ...env })
  const ask = async (headers: Record<string, string>, method = 'POST', path = '/api/create_subtopics') => {
    const reply = await fetch(gateway.url + path, { method, headers })
    const [client, secret] = (await reply.json()) as (string | null)[]
    return { client, secret, cookie: reply.headers.get('set-cookie') }
  }
  return { ...gateway, ask }
}

const cookieOf = (setCookie: string | null) => setCookie?.split(';', 1)[0] ?? ''

t.test("a page's first POST gives its browser an id, by which services know it from then on", async (t) => {
  const { ask } = await gatewayBeforeEcho(t, { SESSION_SECRET: sessionSecret, GATEWAY_SECRET: gatewaySecret })
  const first = await ask(page)
  t.match(first, { client: null, secret: gatewaySecret })
  t.match(
    first.cookie,
    /^__Host-kae_browser=[\w-]{22}\.[\w-]{43}; Max-Age=86400; Path=\/; HttpOnly; SameSite=Lax; Secure$/,
  )
  const cookie = cookieOf(first.cookie)
  const [, id] = /=([\w-]{22})\./.exec(cookie) ?? []
  t.match(await ask({ ...page, cookie: `a=b; ${cookie}; c=d` }), { client: id, cookie: null })
  t.match(await ask({ cookie }, 'GET', '/api/subtopics?topic=x'), { client: id, cookie: null })
  t.not(cookieOf((await ask(page)).cookie), cookie, 'another browser has another one')
  const { ask: askOther } = await gatewayBeforeEcho(t, { SESSION_SECRET: sessionSecret })
  t.match(await askOther({ cookie }), { client: id }, 'at every gateway with the secret')
})

t.test('with COOKIE_SECURE=false the cookie works over plain HTTP, and has no prefix', async (t) => {
  const { ask } = await gatewayBeforeEcho(t, { COOKIE_SECURE: 'false' })
  const { cookie } = await ask(page)
  t.match(cookie, /^kae_browser=[\w.-]+; Max-Age=86400; Path=\/; HttpOnly; SameSite=Lax$/)
  t.match(await ask({ cookie: cookieOf(cookie) }), { client: /^[\w-]{22}$/ })
})

t.test('an id that no gateway signed is none, and neither is what a client says it is', async (t) => {
  const { ask } = await gatewayBeforeEcho(t)
  const cookie = cookieOf((await ask(page)).cookie)
  const forged = [
    '__Host-kae_browser=',
    `__Host-kae_browser=${'a'.repeat(22)}.${'b'.repeat(43)}`,
    cookie.replace('=', '=A').slice(0, -1),
    `${cookie}x`,
    cookie.slice(0, cookie.indexOf('.')),
    `x${cookie}`,
    '__Host-kae_browser=%',
  ]
  for (const one of forged) {
    const answer = await ask({ ...page, cookie: one, 'x-client': 'forged', 'x-gateway-secret': 'forged' })
    t.match(answer, { client: null, secret: null, cookie: /^__Host-kae_browser=/ }, one)
  }
})

t.test('no cookie goes where a cache or a program would keep it, nor where keys are asked for', async (t) => {
  const { ask } = await gatewayBeforeEcho(t)
  t.match(await ask(page, 'GET', '/api/subtopics?topic=x'), { cookie: null })
  t.match(await ask({}), { cookie: null }, 'a program names no origin')
  const { url, makeKey } = await doorForTest(t)
  const headers = { ...page, ...bearer((await makeKey()).secret) }
  const reply = await fetch(`${url}/api/create_subtopics`, { method: 'POST', headers })
  t.equal(reply.headers.get('set-cookie'), null)
})
