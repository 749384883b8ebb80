import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { get } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { metricsPlugin } from '../src/index.ts'
import { build, family, samples } from './build.ts'

const window = { current: 1, limit: 10, remaining: 9 }
const quotaUsage = {
  requests: { perMinute: window, perDay: window },
  tokens: { perMinute: window, perDay: window },
  hold: null,
  pause: null,
  heldMs: { empty: 0, restart: 0, clock: 0, configuration: 0 },
  degraded: false,
  queue: { interactive: { length: 0 }, batch: { length: 0 } },
}

// promtool check metrics exits with 1 when the text does not parse and with 3 when it only has advice.
const lintAdvice = 3

t.test('serves text promtool can parse; its only advice is on a name the dashboards were promised', async (t) => {
  const { app, metrics, scrape } = await build(t, { quota: async () => quotaUsage, cacheItems: () => ({ memory: 3 }) })
  await app.inject({ method: 'POST', url: '/api/create_subtopics', payload: {} })
  metrics.geminiCall({ endpoint: 'create_subtopics', model: 'x', status: 'success', durationMs: 9, totalTokens: 9 })
  metrics.cacheOperation('create_subtopics', 'store')
  metrics.quotaEstimateRatio('create_subtopics', 0.4)
  metrics.contentQuality('topic', 0.5)
  metrics.applicationError('create_subtopics', 'quota_exceeded')
  metrics.validationFailure('request', 'bad_input')
  metrics.circuitBreakerState('vision', 'closed')
  const { ours, nodes } = splitFamilies(await scrape())
  t.same(await promtool(ours), {
    code: lintAdvice,
    output: 'cache_items_count non-histogram and non-summary metrics should not have "_count" suffix\n',
  })
  // Its lint dislikes the library's own nodejs_active_*_total gauges; that they parse is what matters.
  t.equal((await promtool(nodes)).code, lintAdvice)
})

t.test('serves exactly the families of the contract', async (t) => {
  const waitingClients = () => 2
  const { scrape } = await build(t, {
    quota: async () => quotaUsage,
    cacheItems: () => ({ memory: 3 }),
    waitingClients,
  })
  const types = [...(await scrape()).matchAll(/^# TYPE (.+)$/gm)].map((match) => match[1] ?? '').filter(isOurs)
  t.same(types.sort(), [
    'application_errors_total counter',
    'cache_hit_rate gauge',
    'cache_items_count gauge',
    'cache_operations_total counter',
    'circuit_breaker_state gauge',
    'content_quality_score histogram',
    'explanations_generated_total counter',
    'gemini_api_calls_total counter',
    'gemini_api_duration_seconds histogram',
    'gemini_api_input_tokens_total counter',
    'gemini_api_tokens_total counter',
    'http_request_duration_seconds histogram',
    'http_requests_in_progress gauge',
    'http_requests_total counter',
    'images_generated_total counter',
    'quota_degraded gauge',
    'quota_estimate_ratio histogram',
    'quota_exceeded_total counter',
    'quota_hold_seconds gauge',
    'quota_hold_seconds_total counter',
    'quota_pool_hold_seconds gauge',
    'quota_pool_pause_seconds gauge',
    'quota_pool_queue_length gauge',
    'quota_pool_requests_current_minute gauge',
    'quota_pool_requests_today gauge',
    'quota_pool_rpd_limit gauge',
    'quota_pool_rpd_remaining gauge',
    'quota_pool_rpm_limit gauge',
    'quota_pool_rpm_remaining gauge',
    'quota_pool_tokens_current_minute gauge',
    'quota_pool_tokens_today gauge',
    'quota_pool_tpd_limit gauge',
    'quota_pool_tpd_remaining gauge',
    'quota_pool_tpm_limit gauge',
    'quota_pool_tpm_remaining gauge',
    'quota_queue_length gauge',
    'quota_requests_current_minute gauge',
    'quota_requests_today gauge',
    'quota_rpd_limit gauge',
    'quota_rpd_remaining gauge',
    'quota_rpm_limit gauge',
    'quota_rpm_remaining gauge',
    'quota_tokens_current_minute gauge',
    'quota_tokens_today gauge',
    'quota_tpd_limit gauge',
    'quota_tpd_remaining gauge',
    'quota_tpm_limit gauge',
    'quota_tpm_remaining gauge',
    'quota_wait_seconds histogram',
    'quota_waiting_clients gauge',
    'subtopics_generated_total counter',
    'validation_failures_total counter',
  ])
})

t.test('answers as Prometheus text with the Node defaults', async (t) => {
  const { app } = await build(t)
  const response = await app.inject('/metrics')
  t.equal(response.statusCode, 200)
  t.equal(response.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
  const names = new Set(samples(response.body).keys())
  t.ok(names.has('process_cpu_seconds_total'))
  t.ok(names.has('nodejs_eventloop_lag_seconds'))
})

t.test('the HTTP metrics have exactly the labels and buckets of the contract', async (t) => {
  const { app, scrape } = await build(t)
  await app.inject({ method: 'POST', url: '/api/create_subtopics', payload: {} })
  const text = await scrape()
  const labels = 'method="POST",endpoint="create_subtopics"'
  const of = (name: string) => family(text, name).filter((series) => series.includes(labels))
  t.same(of('http_requests_total'), [`http_requests_total{${labels},status="200"}`])
  t.same(of('http_requests_in_progress'), [`http_requests_in_progress{${labels}}`])
  t.same(of('http_request_duration_seconds'), [
    ...['0.01', '0.05', '0.1', '0.5', '1', '2.5', '5', '10', '+Inf'].map(
      (le) => `http_request_duration_seconds_bucket{le="${le}",${labels}}`,
    ),
    `http_request_duration_seconds_sum{${labels}}`,
    `http_request_duration_seconds_count{${labels}}`,
  ])
  t.equal(samples(text).get(`http_requests_in_progress{${labels}}`), 0)
  t.equal(samples(text).get('http_requests_in_progress{method="GET",endpoint="metrics"}'), 1, 'the scrape itself')
})

t.test('random paths and methods add no series', async (t) => {
  const { app, scrape } = await build(t)
  const send = async (suffix: string) => {
    for (const method of ['GET', 'POST', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PATCH', 'PROPFIND', 'MKCOL'] as const) {
      await app.inject({ method: method as 'GET', url: `/${suffix}?x=${suffix}`, headers: { 'user-agent': suffix } })
    }
    await app.inject({ method: 'DELETE', url: '/api/create_subtopics' })
    await app.inject({ method: 'POST', url: `/api/create_subtopics?${suffix}`, payload: {} })
  }
  await send('first')
  await scrape()
  const before = [...samples(await scrape()).keys()].filter(isOurs)
  for (let i = 0; i < 30; i += 1) await send(`${Math.random().toString(36)}/${i}`)
  const after = [...samples(await scrape()).keys()].filter(isOurs)
  t.same(after, before)
  t.ok(after.includes('http_requests_total{method="OTHER",endpoint="unknown",status="404"}'))
  t.ok(after.includes('http_requests_total{method="GET",endpoint="unknown",status="404"}'))
})

t.test('a client that leaves is counted as 499 and leaves no request in progress', async (t) => {
  const { app, scrape } = await build(t)
  const arrived = Promise.withResolvers<void>()
  const left = Promise.withResolvers<void>()
  app.get('/api/health', { config: { endpoint: 'health' } }, async (_request, reply) => {
    reply.raw.once('close', () => left.resolve())
    arrived.resolve()
    await left.promise
    return 'too late'
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const request = get({ host: '127.0.0.1', port, path: '/api/health' })
  const failed = once(request, 'error')
  await arrived.promise
  t.equal(samples(await scrape()).get('http_requests_in_progress{method="GET",endpoint="health"}'), 1)
  request.destroy(new Error('gone'))
  await Promise.all([failed, left.promise])
  const values = samples(await scrape())
  t.equal(values.get('http_requests_in_progress{method="GET",endpoint="health"}'), 0)
  t.equal(values.get('http_requests_total{method="GET",endpoint="health",status="499"}'), 1)
  t.equal(values.get('http_requests_total{method="GET",endpoint="health",status="200"}'), undefined)
})

t.test('made-up status codes of an upstream fall into their class', async (t) => {
  const { app, scrape } = await build(t)
  app.get('/api/quota/stats', { config: { endpoint: 'quota_stats' } }, async (_request, reply) =>
    reply.code(599).send(),
  )
  await app.inject('/api/quota/stats')
  t.same(
    family(await scrape(), 'http_requests_total').filter((series) => series.includes('quota_stats')),
    ['http_requests_total{method="GET",endpoint="quota_stats",status="5xx"}'],
  )
})

t.test('four apps in one process each serve their own figures', async (t) => {
  const apps = await Promise.all([build(t), build(t), build(t), build(t)])
  for (const [count, { metrics }] of apps.entries()) metrics.contentGenerated('subtopics', count)
  for (const [count, { scrape }] of apps.entries()) {
    t.equal(samples(await scrape()).get('subtopics_generated_total'), count)
  }
})

t.test('shows the entries of the memory cache as they are at the scrape', async (t) => {
  let memory = 1
  const { scrape } = await build(t, { cacheItems: () => ({ memory }) })
  t.equal(samples(await scrape()).get('cache_items_count{layer="memory"}'), 1)
  memory = 7
  t.equal(samples(await scrape()).get('cache_items_count{layer="memory"}'), 7)
})

t.test('a listener of its own serves /metrics and nothing else, until the app closes', async (t) => {
  const { port, release } = await takePort()
  await release()
  const { app, scrape } = await build(t, { listener: { host: '127.0.0.1', port } })
  await app.ready()
  const url = `http://127.0.0.1:${port}`
  const reply = await fetch(`${url}/metrics`)
  t.equal(reply.headers.get('content-type'), (await app.inject('/metrics')).headers['content-type'])
  t.same(
    splitFamilies(await reply.text()).ours.match(/^# HELP .*$/gm),
    splitFamilies(await scrape()).ours.match(/^# HELP .*$/gm),
  )
  for (const [method, path] of [
    ['POST', '/metrics'],
    ['POST', '/api/create_subtopics'],
    ['GET', '/'],
  ] as const) {
    const refused = await fetch(url + path, { method })
    t.equal(refused.status, 404, `${method} ${path}`)
    t.match(await refused.json(), { error: 'not_found' })
  }
  await app.close()
  await t.rejects(fetch(`${url}/metrics`), 'it refuses connections')
})

t.test('a port that is taken stops the start', async (t) => {
  const { port, release } = await takePort()
  t.teardown(release)
  const { app } = await build(t, { listener: { host: '127.0.0.1', port } })
  await t.rejects(async () => app.ready(), { code: 'EADDRINUSE' })
})

t.test('refuses to measure two apps into one registry', async (t) => {
  const { metrics, app } = await build(t)
  await t.rejects(async () => app.register(metricsPlugin, { metrics }), { message: /already been registered/ })
})

async function takePort(): Promise<{ port: number; release(): Promise<void> }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const release = async () => {
    server.close()
    await once(server, 'close')
  }
  return { port: (server.address() as AddressInfo).port, release }
}

function isOurs(series: string): boolean {
  return !series.startsWith('nodejs_') && !series.startsWith('process_')
}

function splitFamilies(exposition: string): { ours: string; nodes: string } {
  const blocks = exposition.trimEnd().split('\n\n')
  const text = (keep: (block: string) => boolean) => `${blocks.filter(keep).join('\n\n')}\n`
  const nodes = (block: string) => /^# HELP (nodejs|process)_/.test(block)
  return { ours: text((block) => !nodes(block)), nodes: text(nodes) }
}

function promtool(exposition: string): Promise<{ code: number; output: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ code: number; output: string }>()
  const child = execFile('promtool', ['check', 'metrics'], (error, stdout, stderr) => {
    const code = error === null ? 0 : error.code
    if (typeof code === 'number') resolve({ code, output: stdout + stderr })
    else reject(error)
  })
  child.stdin?.end(exposition)
  return promise
}
