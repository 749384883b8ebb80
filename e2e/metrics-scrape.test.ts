import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { METHODS } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { type Exposition, scrape } from './exposition.ts'
import { eventually, fleetForTest, post } from './fleet.ts'

const fleet = await fleetForTest(t, { env: { QUOTA_RPM: '1' } })
const text = fleet.text[0] as (typeof fleet.text)[number]
const processes = { gateway: fleet.gateway, text, vision: fleet.vision, imageGeneration: fleet.imageGeneration }
await post(`${text.url}/api/create_subtopics`, { topic: 'Light' })

t.test('each process shows every family of the contract, as text that promtool accepts', async (t) => {
  for (const [name, { url }] of Object.entries(processes)) {
    const { text } = await scrape({ url })
    t.same(
      [...text.matchAll(/^# TYPE (\S+)/gm)]
        .map((match) => match[1] ?? '')
        .filter(isOurs)
        .sort(),
      families.filter((family) => name !== 'gateway' || !ofServices.has(family)),
      name,
    )
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
    t.not(status, 1, `${name} parses`)
    const advice = (stdout + stderr).split('\n').filter((line) => line !== '' && isOurs(line))
    const promised = 'cache_items_count non-histogram and non-summary metrics should not have "_count" suffix'
    t.same(advice, name === 'gateway' ? [] : [promised], `${name}: a name of the contract`)
  }
})

t.test('a scrape asks Redis once, and shows what the fleet used also where nothing was served', async (t) => {
  const monitor = await startMonitor()
  const asked: string[] = []
  monitor.on('monitor', (_time: string, command: string[], source: string) => {
    if (source === 'lua') return
    // Of the quota's script, what it was called for: the second argument after the keys.
    const [name, , keys] = command
    asked.push(name === 'evalsha' ? `evalsha ${command[4 + Number(keys)]}` : command.slice(0, 2).join(' '))
  })
  const idle = [fleet.gateway, fleet.vision, fleet.imageGeneration]
  for (const instance of idle) t.equal((await scrape(instance)).sum('quota_requests_today'), 1)
  const own = fleet.redis.connect()
  const seenUntil = async (mark: string) => {
    await own.echo(mark)
    await eventually(
      async () => asked,
      (commands) => commands.includes(`echo ${mark}`),
    )
    return asked.slice(0, asked.indexOf(`echo ${mark}`))
  }
  const before = (await seenUntil('before')).length
  for (let n = 0; n < 10; n++) for (const instance of Object.values(processes)) await scrape(instance)
  const during = (await seenUntil('after')).slice(before + 1)
  const reading = 'evalsha usage'
  t.equal(during.filter((command) => command === reading).length, 40, 'ten scrapes of four processes')
  const others = new Set(during.filter((command) => command !== reading))
  t.ok(
    [...others].every((command) => command === 'evalsha heartbeat'),
    `scraped or not, services send heartbeats: ${[...others]}`,
  )
})

t.test('ten thousand requests to random paths, by all methods, about random topics, add no series', async (t) => {
  const methods = METHODS.filter((method) => method !== 'CONNECT')
  const random = () => randomUUID().replaceAll('-', '')
  const body = (topic: string) => JSON.stringify({ topic, [random()]: random() })
  const knock = (method: string) => http(method, `/${random()}/${random()}?${random()}=1`)
  const known = (method: string) => http(method, `/api/create_subtopics?${random()}`)
  const askFor = (topic: string) => http('POST', '/api/create_subtopics', body(topic))
  const everything = (rounds: number) =>
    Array.from({ length: rounds }, () => [
      ...methods.flatMap((method) => [knock(method), known(method)]),
      ...Array.from({ length: 10 }, () => askFor(random())), // refused: the minute's one request is spent
      ...Array.from({ length: 10 }, () => askFor(random().repeat(20))), // too long
    ]).flat()
  const look = async () => {
    const seen = await Promise.all(Object.values(processes).map(scrape))
    return seen.map(({ series }) => series.filter(isOurs).sort())
  }
  await send(fleet.gateway.url, everything(1))
  await look() // the scrape is a request too
  const before = await look()
  const requests = everything(Math.ceil(10_000 / (2 * methods.length + 20)))
  t.ok(requests.length >= 10_000)
  const statuses = await send(fleet.gateway.url, requests)
  t.same([...new Set(statuses)].sort(), ['400', '404', '405', '429'], 'every kind was met')
  t.same(await look(), before)
})

t.test('with Redis hung a scrape takes less than 20 ms more, and says that the quota is degraded', async (t) => {
  const timed = async () => {
    const startedAt = performance.now()
    const seen = await scrape(fleet.vision)
    return { seen, ms: performance.now() - startedAt }
  }
  const several = async (count: number) => {
    const all: Awaited<ReturnType<typeof timed>>[] = []
    for (let n = 0; n < count; n++) all.push(await timed())
    return all
  }
  const median = (all: { ms: number }[]) =>
    all.map(({ ms }) => ms).sort((a, b) => a - b)[Math.floor(all.length / 2)] as number
  const usual = await several(15)
  fleet.redis.process.kill('SIGSTOP')
  const hung = await several(5) // each of them waits for Redis
  const noiseMs = 20
  t.ok(median(hung) - median(usual) < 20 + noiseMs, `${median(usual)} → ${median(hung)} ms`)
  const last = hung.at(-1)?.seen as Exposition
  t.equal(last.sum('quota_degraded'), 1)
  // A reading that is late says nothing about writes; the one after Redis's timeout does.
  await eventually(
    () => scrape(fleet.vision),
    (seen) => seen.at('redis_writable{store="quota"}') === 0,
  )
  t.equal(last.sum('circuit_breaker_state', { service: 'redis' }), 2)
  fleet.redis.process.kill('SIGCONT')
  await eventually(
    () => scrape(fleet.vision),
    (seen) =>
      seen.sum('circuit_breaker_state', { service: 'redis' }) === 0 && seen.at('redis_writable{store="quota"}') === 1,
  )
})

function http(method: string, target: string, body = ''): string {
  const type = body === '' ? '' : 'Content-Type: application/json\r\n'
  return `${method} ${target} HTTP/1.1\r\nHost: gateway\r\n${type}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}

/** Shows what Redis is sent. ioredis fails when the first command arrives together with the reply to MONITOR: then again. */
async function startMonitor() {
  for (;;) {
    const monitor = fleet.redis.connect({ monitor: true })
    const hasBegun = await new Promise<boolean>((resolve) => {
      monitor.once('monitoring', () => resolve(true)).once('error', () => resolve(false))
    })
    if (hasBegun) return monitor
    monitor.disconnect()
  }
}

/** Sends raw requests over a few connections, a hundred at a time on each; the status of every answer. */
async function send(url: string, requests: string[]): Promise<string[]> {
  const left = [...requests]
  const worker = async (): Promise<string[]> => {
    const statuses: string[] = []
    for (let batch = left.splice(0, 100); batch.length > 0; batch = left.splice(0, 100)) {
      statuses.push(...(await pipelined(url, batch)))
    }
    return statuses
  }
  return (await Promise.all([worker(), worker(), worker(), worker()])).flat()
}

async function pipelined(url: string, requests: string[]): Promise<string[]> {
  const { port, hostname } = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  socket.write(requests.join(''))
  let received = ''
  for await (const chunk of socket.setEncoding('latin1')) {
    received += chunk
    const statuses = [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => match[1] ?? '')
    if (statuses.length === requests.length) return statuses // leaving the loop closes the socket
  }
  throw new Error(`the connection was closed after:\n${received.slice(-1_000)}`)
}

function isOurs(line: string): boolean {
  return !line.startsWith('nodejs_') && !line.startsWith('process_')
}

/** The gateway has no calls of its own that wait. */
const ofServices = new Set(['quota_waiting_clients'])

const families = [
  'application_errors_total',
  'cache_hit_rate',
  'cache_items_count',
  'cache_operations_total',
  'circuit_breaker_state',
  'content_quality_score',
  'explanations_generated_total',
  'gemini_api_calls_total',
  'gemini_api_duration_seconds',
  'gemini_api_input_tokens_total',
  'gemini_api_tokens_total',
  'http_request_duration_seconds',
  'http_requests_in_progress',
  'http_requests_total',
  'images_generated_total',
  'quota_degraded',
  'quota_estimate_ratio',
  'quota_exceeded_total',
  'quota_hold_seconds',
  'quota_hold_seconds_total',
  'quota_pool_hold_seconds',
  'quota_pool_pause_seconds',
  'quota_pool_queue_length',
  'quota_pool_requests_current_minute',
  'quota_pool_requests_today',
  'quota_pool_rpd_limit',
  'quota_pool_rpd_remaining',
  'quota_pool_rpm_limit',
  'quota_pool_rpm_remaining',
  'quota_pool_tokens_current_minute',
  'quota_pool_tokens_today',
  'quota_pool_tpd_limit',
  'quota_pool_tpd_remaining',
  'quota_pool_tpm_limit',
  'quota_pool_tpm_remaining',
  'quota_queue_length',
  'quota_requests_current_minute',
  'quota_requests_today',
  'quota_rpd_limit',
  'quota_rpd_remaining',
  'quota_rpm_limit',
  'quota_rpm_remaining',
  'quota_tokens_current_minute',
  'quota_tokens_today',
  'quota_tpd_limit',
  'quota_tpd_remaining',
  'quota_tpm_limit',
  'quota_tpm_remaining',
  'quota_wait_seconds',
  'quota_waiting_clients',
  'redis_writable',
  'subtopics_generated_total',
  'validation_failures_total',
]
