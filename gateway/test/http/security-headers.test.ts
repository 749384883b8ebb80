import { EnvironmentError } from '@knowalledge/service-kit'
import t from 'tap'
import { request } from 'undici'
import { loadConfig } from '../../src/config.ts'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

const page = 'https://app.example'

t.test('every answer says that nothing in it may be run, framed or guessed', async (t) => {
  const TEXT_GENERATION_URL = await serviceForTest(t, (_request, response) => response.end('{}'))
  const { url, post } = await gatewayForTest(t, { TEXT_GENERATION_URL, RATE_LIMIT_PER_MINUTE: '2' })
  const answers = [
    await fetch(`${url}/api/quota/stats`),
    await fetch(`${url}/api/subtopics?topic=x`),
    await fetch(`${url}/api/nothing`),
    await fetch(`${url}/%zz`),
    await post('/api/image2topic'),
    await post('/api/create_subtopics'),
  ]
  t.same(
    answers.map(({ status }) => status),
    [200, 200, 404, 400, 503, 429],
  )
  for (const [at, { headers }] of answers.entries()) {
    if (at === 3) continue // a path that is no URL never gets as far as a hook
    t.match(Object.fromEntries(headers), {
      'content-security-policy': "default-src 'none';frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
      'cross-origin-resource-policy': 'same-origin',
    })
    t.equal(headers.get('strict-transport-security'), null, 'said by whoever ends TLS')
    t.equal(headers.get('access-control-allow-origin'), null, 'the same origin only, unless told otherwise')
    t.equal(headers.get('vary'), null)
  }
})

t.test('the docs may run what they bring along', async (t) => {
  const { url } = await gatewayForTest(t)
  for (const path of ['/docs', '/docs/static/swagger-ui.css']) {
    const policy = (await fetch(url + path)).headers.get('content-security-policy')
    t.match(policy, /default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:/)
    t.notMatch(policy, /script-src|unsafe-eval/)
  }
})

t.test('a page of a listed origin may ask with cookies and read what it needs; others may not', async (t) => {
  const TEXT_GENERATION_URL = await serviceForTest(t, (request, response) => {
    request.resume()
    response.writeHead(200, request.url?.includes('language') ? {} : { vary: 'Accept-Language' }).end('{}')
  })
  const { url } = await gatewayForTest(t, {
    TEXT_GENERATION_URL,
    CORS_ORIGINS: `${page}, http://localhost:3000`,
    RATE_LIMIT_PER_MINUTE: '3',
  })
  const ask = (origin: string, path = '/api/subtopics?topic=x') => fetch(url + path, { headers: { origin } })
  for (const origin of [page, 'http://localhost:3000']) {
    const { headers } = await ask(origin)
    t.match(Object.fromEntries(headers), {
      'access-control-allow-origin': origin,
      'access-control-allow-credentials': 'true',
      'cross-origin-resource-policy': 'cross-origin',
      'access-control-expose-headers': /X-Request-Id.*X-Cache.*Retry-After.*RateLimit-Limit/,
      vary: 'Accept-Language, Origin',
    })
  }
  t.equal((await ask(page, '/api/explanation?language=en')).headers.get('vary'), 'Origin')
  const refused = await ask(page)
  t.equal(refused.status, 429)
  t.equal(refused.headers.get('access-control-allow-origin'), page, 'a page can read what is wrong')
  for (const origin of ['https://evil.example', 'https://app.example.evil.example', 'null', 'http://app.example']) {
    const { headers } = await ask(origin, '/api/quota/stats')
    t.equal(headers.get('access-control-allow-origin'), null, origin)
    t.equal(headers.get('vary'), 'Origin', 'or a cache would give one page the other’s answer')
  }
})

t.test('a preflight is answered before anybody asks who it is', async (t) => {
  const { url } = await gatewayForTest(t, { CORS_ORIGINS: page })
  const preflight = (origin: string) =>
    fetch(`${url}/api/create_subtopics`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-csrf-token' },
    })
  const allowed = await preflight(page)
  t.equal(allowed.status, 204)
  t.match(Object.fromEntries(allowed.headers), {
    'access-control-allow-origin': page,
    'access-control-allow-methods': 'GET, HEAD, POST, DELETE',
    'access-control-allow-headers': 'Content-Type, Authorization, X-API-Key, X-CSRF-Token, X-Request-Id, Prefer',
    'access-control-max-age': '600',
    vary: 'Origin',
  })
  t.equal((await preflight('https://evil.example')).headers.get('access-control-allow-origin'), null)
  const { url: closed } = await gatewayForTest(t)
  t.equal((await fetch(`${closed}/api/create_subtopics`, { method: 'OPTIONS' })).status, 405)
})

t.test(
  "another site's page can spend nothing, whether it reads answers or not, unless its origin is listed",
  async (t) => {
    const service = await serviceForTest(t, (request, response) => {
      request.resume()
      response.end('{}')
    })
    const services = { TEXT_GENERATION_URL: service, VISION_URL: service, IMAGE_GENERATION_URL: service }
    const crossSite = { 'sec-fetch-site': 'cross-site' }
    const status = async (url: string, path: string, headers: Record<string, string>, method = 'GET') =>
      (await request(url + path, { method, headers })).statusCode
    const { url } = await gatewayForTest(t, { ...services, CORS_ORIGINS: page })
    for (const [method, path] of [
      ['GET', '/api/subtopics?topic=Light'], // as a link, an image or a frame: without an origin
      ['GET', '/api/explanation?topic=Light'],
      ['POST', '/api/create_subtopics'], // as a form
      ['POST', '/api/create_presentation'],
      ['POST', '/api/image2topic'],
      ['POST', '/api/generate_image'],
    ] as const) {
      for (const headers of [{}, { origin: 'https://evil.example' }, { origin: 'null' }])
        t.equal(await status(url, path, { ...crossSite, ...headers }, method), 403, path)
      t.equal(await status(url, path, { ...crossSite, origin: page }, method), 200, path)
      for (const site of ['same-origin', 'same-site', 'none'])
        t.equal(await status(url, path, { 'sec-fetch-site': site }, method), 200, path)
    }
    t.equal(
      await status(url, `/api/images/${'0'.repeat(64)}`, crossSite),
      200,
      'shown by a listed page, it costs nothing',
    )
    t.equal(await status(url, '/api/quota/stats', crossSite), 200)
    const { url: closed } = await gatewayForTest(t, services)
    t.equal(await status(closed, '/api/subtopics?topic=Light', { ...crossSite, origin: page }), 403)
    const { url: open } = await gatewayForTest(t, { ...services, CORS_ORIGINS: '*' })
    t.equal(await status(open, '/api/subtopics?topic=Light', { ...crossSite, origin: page }), 200)
  },
)

t.test('* lets every page ask, but never with cookies', async (t) => {
  const { url } = await gatewayForTest(t, { CORS_ORIGINS: '*' })
  const { headers } = await fetch(`${url}/api/quota/stats`, { headers: { origin: page } })
  t.equal(headers.get('access-control-allow-origin'), '*')
  t.equal(headers.get('access-control-allow-credentials'), null)
  t.equal(headers.get('vary'), null)
})

t.test('what is no list of origins is a fault of the settings, said at the start', async (t) => {
  for (const CORS_ORIGINS of [
    'app.example',
    `${page}/`,
    `${page}/path`,
    'https://App.Example',
    'null',
    `${page},*`,
    `${page},,`,
    'ftp://a',
    'https://*.example',
  ])
    t.throws(() => loadConfig({ CORS_ORIGINS }), EnvironmentError, CORS_ORIGINS)
  t.throws(() => loadConfig({ CORS_ORIGINS: 'x' }), { message: /CORS_ORIGINS="x": expected origins such as https:/ })
  t.equal(
    loadConfig({ CORS_ORIGINS: `${page} , https://b.example:8443` }).CORS_ORIGINS,
    `${page} , https://b.example:8443`,
  )
})
