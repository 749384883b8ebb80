import { createQuotaClient } from '@knowalledge/quota-client'
import t from 'tap'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

const json = (body: unknown) => (_request: unknown, response: { end(text: string): void }) =>
  response.end(JSON.stringify(body))

t.test('quota stats show the four windows of the shared quota', async (t) => {
  const { url, quota } = await gatewayForTest(t)
  const verdict = await quota.reserve({ requests: 3, tokens: 4_500, priority: 'interactive' })
  t.ok(verdict.granted)
  const stats = (await (await fetch(`${url}/api/quota/stats`)).json()) as Record<string, Record<string, object>>
  t.match(stats.requests?.per_minute, { current: 3, limit: 15, remaining: 12, percentage: 20 })
  t.match(stats.requests?.per_day, { current: 3, limit: 1_500, remaining: 1_497, percentage: 0.2 })
  t.match(stats.tokens?.per_minute, { current: 4_500, limit: 1_000_000, remaining: 995_500 })
  t.match(stats, { statistics: { average_tokens_per_request: 1_500, degraded: false }, pause: null })
  t.match(stats, {
    queue: { interactive: { length: 0, starts_in_seconds: 0 }, batch: { length: 0, starts_in_seconds: 0 } },
  })
  t.ok(Number((stats.requests?.per_day as Record<string, number>)?.resets_in_seconds) <= 25 * 3_600)

  await quota.pause({ limitType: 'rpm', untilMs: Date.now() + 30_000 })
  const paused = (await (await fetch(`${url}/api/quota/stats`)).json()) as { pause: { resumes_in_seconds: number } }
  t.match(paused, { pause: { limit_type: 'rpm' } })
  t.ok(paused.pause.resumes_in_seconds > 25 && paused.pause.resumes_in_seconds <= 30)
})

t.test('quota stats show the pool of each model, and outside of them that of the best text model', async (t) => {
  const limits = { rpm: 15, rpd: 1_500, tpm: 1_000_000, tpd: 50_000_000 }
  const poolOf = (name: string, rpm: number, models = [name]) => {
    const quota = createQuotaClient({ pool: name, limits: { ...limits, rpm } })
    t.teardown(() => quota.close())
    return { name, models, quota }
  }
  const pools = [poolOf('best', 15), poolOf('shared', 30, ['lite', 'painter'])] as const
  const { url } = await gatewayForTest(t, {}, { pools })
  await pools[1].quota.reserve({ requests: 2, tokens: 10, priority: 'interactive' })
  await pools[1].quota.pause({ limitType: 'rpd' })
  const stats = (await (await fetch(`${url}/api/quota/stats`)).json()) as { models: object[] }
  t.match(stats, { requests: { per_minute: { current: 0, limit: 15 } }, pause: null })
  const shared = { pool: 'shared', requests: { per_minute: { current: 2, limit: 30 } }, pause: { limit_type: 'rpd' } }
  t.match(stats.models, [
    {
      model: 'best',
      pool: 'best',
      requests: { per_minute: { current: 0 } },
      queue: { batch: { length: 0 } },
      hold: null,
    },
    { model: 'lite', ...shared },
    { model: 'painter', ...shared },
  ])
})

t.test('quota stats show who waits in line, and when a call that came now would start', async (t) => {
  const { url, quota } = await gatewayForTest(t)
  const call = { requests: 1, tokens: 1_000, maxWaitMs: 120_000, client: 'a' }
  for (let n = 0; n < 15; n++) await quota.reserve({ ...call, priority: 'interactive' })
  const leaving = new AbortController()
  const waiting = (['interactive', 'batch', 'batch'] as const).map((priority) =>
    quota.reserve({ ...call, priority, signal: leaving.signal }).catch(() => 'left'),
  )
  const { queue } = (await (await fetch(`${url}/api/quota/stats`)).json()) as { queue: Record<string, object> }
  t.match(queue, { interactive: { length: 1 }, batch: { length: 2 } })
  for (const line of Object.values(queue) as { starts_in_seconds: number }[])
    t.ok(line.starts_in_seconds > 50 && line.starts_in_seconds < 120, JSON.stringify(line))
  leaving.abort()
  t.same(await Promise.all(waiting), ['left', 'left', 'left'])
})

t.test('health and ready tell of the gateway and of every service', async (t) => {
  const live = await serviceForTest(t, json({ status: 'healthy' }))
  const { url } = await gatewayForTest(t, {
    TEXT_GENERATION_URL: `${live},${live}`,
    VISION_URL: live,
    IMAGE_GENERATION_URL: live,
  })
  const health = await fetch(`${url}/api/health`)
  t.equal(health.status, 200)
  t.match(await health.json(), {
    status: 'healthy',
    gateway: { status: 'healthy' },
    services: {
      'text-generation': { status: 'healthy', instances: 2, healthy_instances: 2, response_time: /^\d\.\d{3}s$/ },
      vision: { status: 'healthy' },
      'image-generation': { status: 'healthy' },
    },
  })
  const ready = await fetch(`${url}/api/ready`)
  t.equal(ready.status, 200)
  t.match(await ready.json(), {
    status: 'ready',
    checks: { redis: { status: 'disabled' }, vision: { status: 'healthy' } },
  })
})

t.test(
  'ready and the documents ask the services once, and again after a second or when an instance has come or gone',
  async (t) => {
    const asked: string[] = []
    const state = { ready: true }
    const TEXT_GENERATION_URL = await serviceForTest(t, (request, response) => {
      asked.push(request.url ?? '')
      response.writeHead(state.ready ? 200 : 503).end('{"paths":{"/api/subtopics":{}}}')
    })
    const { url } = await gatewayForTest(t, { TEXT_GENERATION_URL })
    for (let n = 0; n < 5; n++) t.match(await (await fetch(`${url}/api/ready`)).json(), { status: 'degraded' })
    t.equal(asked.filter((path) => path === '/ready').length, 2, 'for the service, and for whether any is there')

    // Checks that time out on a busy machine would be changes too.
    const watched = await gatewayForTest(t, { TEXT_GENERATION_URL, UPSTREAM_CHECK_MS: '1000' })
    const documents = async () => {
      await fetch(`${watched.url}/openapi.json`)
      return asked.filter((path) => path === '/openapi.json').length
    }
    t.same([await documents(), await documents(), await documents()], [1, 1, 1])
    state.ready = false
    while ((await documents()) === 1);
    state.ready = true
    const before = await documents()
    while ((await documents()) === before);
  },
)

t.test('one service down is degraded, all down is not ready', async (t) => {
  const live = await serviceForTest(t, json({}))
  const one = await gatewayForTest(t, { VISION_URL: live })
  t.match(await (await fetch(`${one.url}/api/ready`)).json(), {
    status: 'degraded',
    checks: { services: { status: '1 of 3 usable' } },
  })
  t.match(await (await fetch(`${one.url}/api/health`)).json(), {
    status: 'degraded',
    services: { vision: { status: 'healthy' } },
  })

  const none = await gatewayForTest(t)
  const ready = await fetch(`${none.url}/api/ready`)
  t.equal(ready.status, 503)
  t.match(await ready.json(), { status: 'not_ready' })
  t.equal((await fetch(`${none.url}/api/health`)).status, 503)
  t.equal((await fetch(`${none.url}/health`)).status, 200, 'the gateway itself lives')
})

t.test('one OpenAPI document for the whole fleet, kept while a service is down', async (t) => {
  let down = false
  const TEXT_GENERATION_URL = await serviceForTest(t, (_request, response) => {
    if (down) return void response.destroy()
    response.end(
      JSON.stringify({ openapi: '3.1.0', paths: { '/api/create_subtopics': { post: {} }, '/ready': { get: {} } } }),
    )
  })
  const { url } = await gatewayForTest(t, { TEXT_GENERATION_URL })
  const read = async () =>
    (await (await fetch(`${url}/openapi.json`)).json()) as { openapi: string; paths: Record<string, object> }
  const document = await read()
  t.equal(document.openapi, '3.1.0')
  t.match(document.paths, {
    '/api/create_subtopics': { post: {} },
    '/api/quota/stats': { get: {} },
    '/api/ready': { get: {} },
  })
  down = true
  t.ok((await read()).paths['/api/create_subtopics'])
  const docs = await fetch(`${url}/docs`)
  t.equal(docs.status, 200)
  t.match(await docs.text(), /swagger-ui/)
})

t.test('metrics are served, and no path of a client becomes a label', async (t) => {
  const { url } = await gatewayForTest(t)
  for (let n = 0; n < 20; n++) await fetch(`${url}/random/${n}`)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, /http_requests_total\{method="GET",endpoint="unknown",status="404"\} 20/)
  t.match(metrics, /quota_rpm_limit 15/)
  t.notMatch(metrics, /random/)
})
