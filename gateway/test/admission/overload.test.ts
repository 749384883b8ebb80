import { request, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

const probes = ['/health', '/ready', '/metrics', '/api/health', '/api/ready']
const path = '/api/subtopics?topic=Light'

/** Before a service that answers when the test says so. */
async function gatewayBeforeWaiting(t: Test, env: Record<string, string>) {
  const waiting: ServerResponse[] = []
  const TEXT_GENERATION_URL = await serviceForTest(t, (request, response) => {
    if (request.url === path) waiting.push(response)
    else response.end('{}')
  })
  const gateway = await gatewayForTest(t, { TEXT_GENERATION_URL, ...env })
  const arrived = async (count: number) => {
    while (waiting.length < count) await new Promise(setImmediate)
  }
  return { ...gateway, waiting, arrived }
}

async function askUntilAdmitted(url: string): Promise<number> {
  const { status } = await fetch(url + path)
  return status === 503 ? await askUntilAdmitted(url) : status
}

async function refuses(t: Test, url: string) {
  const refused = await fetch(url + path)
  t.equal(refused.status, 503)
  t.equal(refused.headers.get('retry-after'), '1')
  t.match(await refused.json(), { error: 'overloaded', message: /Try again/ })
}

t.test('beyond MAX_IN_FLIGHT a request is refused at once, and probes are answered', async (t) => {
  const { url, waiting, arrived } = await gatewayBeforeWaiting(t, { MAX_IN_FLIGHT: '2' })
  const first = fetch(url + path)
  const second = request(url + path).end()
  second.on('error', () => {}) // it goes away on purpose
  await arrived(2)
  for (let n = 0; n < 3; n++) await refuses(t, url)
  for (const probe of probes) t.match(await (await fetch(url + probe)).text(), /ready|healthy|process_cpu/, probe)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, /application_errors_total\{endpoint="create_subtopics",error_type="overloaded"\} 3/)

  waiting[0]?.end('{}')
  t.equal((await first).status, 200)
  const third = fetch(url + path)
  await arrived(3)
  t.equal((await fetch(`${url}/api/quota/stats`)).status, 200, 'what no service works on takes no place')
  second.destroy() // a client that leaves makes room too
  const fourth = askUntilAdmitted(url)
  await arrived(4)
  for (const response of waiting.slice(2)) response.end('{}')
  t.same([(await third).status, await fourth], [200, 200])
})

for (const [what, env] of [
  ['the event loop is late', { MAX_EVENT_LOOP_DELAY_MS: '20' }],
  ['the event loop is busy', { MAX_EVENT_LOOP_UTILIZATION: '0.9' }],
] as const) {
  t.test(`while ${what}, all but probes is refused, and let in again after`, async (t) => {
    const { url } = await gatewayForTest(t, env)
    const status = async (path: string) => (await fetch(url + path)).status
    t.equal(await status('/api/quota/stats'), 200)
    const working = setInterval(() => {
      for (const endMs = performance.now() + 100; performance.now() < endMs; );
    }, 0)
    while ((await status('/api/quota/stats')) !== 503);
    t.equal(await status('/health'), 200)
    t.equal(await status('/metrics'), 200)
    clearInterval(working)
    while ((await status('/api/quota/stats')) !== 200) await sleep(50) // asking without a pause is work enough
  })
}

t.test('while too much memory is used, all but probes is refused', async (t) => {
  const { url } = await gatewayBeforeWaiting(t, { MAX_HEAP_MEGABYTES: '1' })
  while ((await fetch(`${url}/api/quota/stats`)).status !== 503);
  await refuses(t, url)
  t.equal((await fetch(`${url}/health`)).status, 200)
})
