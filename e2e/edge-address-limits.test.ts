import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { nginxForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { ask, upstreamForTest } from './edge-upstream.ts'

/** A POST whose last byte never comes, from one of the machine's own addresses. */
async function unfinished(t: Test, { port, from, bytes }: { port: number; from: string; bytes: number }) {
  const socket = connect({ port, host: '127.0.0.1', localAddress: from })
  socket.on('error', () => {}) // a refused one is closed by nginx
  t.teardown(() => socket.destroy())
  const head = `POST /api/create_subtopics HTTP/1.1\r\nHost: x\r\nContent-Length: ${bytes + 1}\r\n\r\n`
  await new Promise((written) => socket.write(head + 'x'.repeat(bytes), written))
  return socket
}

/** Of all workers, in MiB. */
function memoryOf(master: number): number {
  const workers = readFileSync(`/proc/${master}/task/${master}/children`, 'utf8').trim().split(' ')
  const kibibytes = workers.map((pid) => /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  return kibibytes.reduce((sum, size) => sum + Number(size), 0) / 1024
}

const refusal = { status: 429, headers: { 'retry-after': '1', 'cache-control': 'no-store' } }

t.test('unfinished bodies of many addresses lie on disk, not in memory', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) => reply.end('{}'))
  const { url, port, process } = await nginxForTest(t, { gateways: [upstream.url] })
  await ask(url, '/api/health')
  const before = memoryOf(Number(process.pid))
  const sockets: Socket[] = []
  for (let n = 0; n < 400; n++)
    sockets.push(await unfinished(t, { port, from: `127.0.0.${2 + (n % 5)}`, bytes: 255 * 1024 }))
  t.match(await ask(url, '/api/health'), { status: 200 })
  const grown = memoryOf(Number(process.pid)) - before
  t.ok(grown < 30, `400 bodies of 255 KiB, 100 MiB together, took ${Math.round(grown)} MiB of memory`)
  t.ok(sockets.every(({ destroyed }) => !destroyed))
})

t.test('one address has 256 requests in hand, and another address is answered meanwhile', async (t) => {
  const waiting = new Set<() => void>()
  const upstream = await upstreamForTest(t, (request, reply) => {
    if (request.url === '/api/health') reply.end('{}')
    else waiting.add(() => reply.end('{}'))
  })
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  const slow = Array.from({ length: 256 }, () => ask(url, '/api/quota/stats'))
  while (waiting.size < 256) await new Promise(setImmediate)
  const refused = await ask(url, '/api/health')
  t.match(refused, refusal)
  t.match(JSON.parse(refused.body), { error: 'rate_limited', message: /256 at once/ })
  const { port } = new URL(url)
  const other = request({ port, host: '127.0.0.1', localAddress: '127.0.0.2', path: '/api/health' }).end()
  const [reply] = (await once(other, 'response')) as [IncomingMessage]
  t.equal(reply.resume().statusCode, 200)
  for (const end of waiting) end()
  for (const answer of await Promise.all(slow)) t.equal(answer.status, 200)
})

t.test('a flood of one address is refused before it reaches a gateway', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) => reply.end('{}'))
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  const startedAtMs = performance.now()
  const statuses = new Map<number, number>()
  for (let round = 0; round < 6; round++) {
    for (const { status } of await Promise.all(Array.from({ length: 200 }, () => ask(url, '/api/quota/stats'))))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
  }
  const seconds = (performance.now() - startedAtMs) / 1000
  const allowed = 501 + Math.ceil(100 * seconds)
  if (allowed < 1_200) t.ok(statuses.has(429))
  t.equal((statuses.get(200) ?? 0) + (statuses.get(429) ?? 0), 1_200)
  t.ok((statuses.get(200) ?? 0) <= allowed, `${statuses.get(200)} of 1,200, ${allowed} are allowed in that time`)
  t.equal(upstream.seen.length, statuses.get(200))
})

t.test('a 429 of a gateway passes with its own Retry-After', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) =>
    reply.writeHead(429, { 'retry-after': '37' }).end('{}'),
  )
  const { url } = await nginxForTest(t, { gateways: [upstream.url] })
  t.match(await ask(url, '/api/quota/stats'), { status: 429, headers: { 'retry-after': '37' }, body: '{}' })
})

t.test('the slot for a proxy in front makes its clients different addresses', async (t) => {
  const upstream = await upstreamForTest(t, (_request, reply) => reply.end('{}'))
  const { url } = await nginxForTest(t, { gateways: [upstream.url], isBehindProxy: true })
  await ask(url, '/api/health', { headers: { 'x-forwarded-for': '203.0.113.7' } })
  t.equal(upstream.seen.at(-1)?.headers['x-forwarded-for'], '203.0.113.7')
})
