import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { buffer, text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { type Address, LoadBalancer } from '../../src/proxy/load-balancer.ts'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

/** An instance that says its name and what it was sent, and on `/ready` what the test wants it to. */
async function instanceForTest(t: Test, name: string) {
  const state = { ready: true, calls: 0 }
  const url = await serviceForTest(t, async (request, response) => {
    if (request.url === '/ready') return void response.writeHead(state.ready ? 200 : 503).end()
    state.calls++
    response.end(name + (await text(request)))
  })
  return { url, state }
}

const dead = async () => `http://127.0.0.1:${await freePort()}`

/** Asks until the answers of six requests in a row are these. */
async function becomes(ask: () => Promise<string>, names: string): Promise<string> {
  for (let n = 0; n < 200; n++) {
    const seen = new Set<string>()
    for (let m = 0; m < 6; m++) seen.add(await ask())
    if ([...seen].sort().join('') === names) return names
  }
  return 'never'
}

t.test('an instance that is not ready is ejected, and gets requests again when it is', async (t) => {
  const [a, b] = [await instanceForTest(t, 'a'), await instanceForTest(t, 'b')]
  const { post } = await gatewayForTest(t, { TEXT_GENERATION_URL: `${a.url},${b.url}`, UPSTREAM_CHECK_MS: '20' })
  const ask = async () => (await post('/api/create_subtopics', '')).text()
  t.equal(await becomes(ask, 'ab'), 'ab')
  a.state.ready = false
  t.equal(await becomes(ask, 'b'), 'b')
  a.state.ready = true
  t.equal(await becomes(ask, 'ab'), 'ab')
})

t.test('with no instance ready all are tried: a wrong check must not refuse everybody', async (t) => {
  const a = await instanceForTest(t, 'a')
  a.state.ready = false
  const { post } = await gatewayForTest(t, { TEXT_GENERATION_URL: a.url, UPSTREAM_CHECK_MS: '20' })
  t.equal(await (await post('/api/create_subtopics', '')).text(), 'a')
})

t.test('an instance that refuses connections costs nobody an answer: the same request goes to the next', async (t) => {
  const a = await instanceForTest(t, 'a')
  const TEXT_GENERATION_URL = [await dead(), 'http://no-such-host.invalid', a.url, await dead()].join()
  const { url, post } = await gatewayForTest(t, { TEXT_GENERATION_URL })
  for (let n = 0; n < 6; n++) t.equal(await (await post('/api/create_subtopics', `{"n":${n}}`)).text(), `a{"n":${n}}`)
  t.equal(await (await fetch(`${url}/api/subtopics?topic=Light`)).text(), 'a')
  t.equal(a.state.calls, 7, 'each came once')
})

t.test('only when every instance refuses is it a 503', async (t) => {
  const { post } = await gatewayForTest(t, { TEXT_GENERATION_URL: [await dead(), await dead(), await dead()].join() })
  const reply = await post('/api/create_subtopics')
  t.equal(reply.status, 503)
  t.match(await reply.json(), { error: 'service_unavailable' })
})

t.test('an upload of 10 MiB that one instance refused arrives whole at the next', async (t) => {
  const upload = Buffer.alloc(10 * 1024 * 1024, 'picture ')
  const received: Buffer[] = []
  const living = await serviceForTest(t, async (request, response) => {
    received.push(await buffer(request))
    response.end('{}')
  })
  const { post } = await gatewayForTest(t, { VISION_URL: `${await dead()},${living}` })
  t.equal((await post('/api/image2topic', upload)).status, 200)
  t.equal(received.length, 1)
  t.ok(received[0]?.equals(upload))
})

t.test('what may have been processed is never sent again: a connection that breaks is a 503', async (t) => {
  for (const method of ['POST', 'GET']) {
    let calls = 0
    const breaking = await serviceForTest(t, (request) => {
      calls++
      request.socket.destroy()
    })
    const { url } = await gatewayForTest(t, { TEXT_GENERATION_URL: `${breaking},${breaking}` })
    const path = method === 'POST' ? '/api/create_subtopics' : '/api/subtopics?topic=Light'
    t.equal((await fetch(url + path, { method })).status, 503, method)
    t.equal(calls, 1, method)
  }
})

t.test('an instance that takes no connection is given up long before the timeout of an answer', async (t) => {
  const a = await instanceForTest(t, 'a')
  const TEXT_GENERATION_URL = `${await fullBacklogForTest(t)},${a.url}`
  const { post } = await gatewayForTest(t, { TEXT_GENERATION_URL, UPSTREAM_TIMEOUT_MS: '60000' })
  const startedAt = performance.now()
  t.equal(await (await post('/api/create_subtopics', '')).text(), 'a')
  t.ok(performance.now() - startedAt < 20_000, 'two seconds, on a busy machine')
})

t.test('the least busy instance is asked, in turn among equals', async (t) => {
  const held: (() => void)[] = []
  const names = ['a', 'b', 'c']
  const urls = await Promise.all(
    names.map((name) =>
      serviceForTest(t, async (request, response) => {
        const body = await text(request)
        if (body === 'hold') await new Promise<void>((resolve) => held.push(resolve))
        response.end(name)
      }),
    ),
  )
  const { post } = await gatewayForTest(t, { TEXT_GENERATION_URL: urls.join() })
  const ask = async (body = '') => (await post('/api/create_subtopics', body)).text()
  const ofA = ask('hold')
  while (held.length < 1) await sleep(5)
  t.same([await ask(), await ask(), await ask(), await ask()], ['b', 'c', 'b', 'c'], 'a is at work')
  const [ofB, ofC] = [ask('hold'), ask('hold')]
  while (held.length < 3) await sleep(5)
  for (const answer of held) answer()
  t.same(await Promise.all([ofA, ofB, ofC]), ['a', 'b', 'c'])
  t.same([await ask(), await ask(), await ask()], ['a', 'b', 'c'], 'none is at work any more')
})

t.test('who refused is tried again after five seconds, also where nobody watches /ready', async (t) => {
  let nowMs = 0
  const urls = ['http://a', 'http://b']
  const balancer = new LoadBalancer({ name: 'vision', urls, timeoutMs: 1_000, clock: () => nowMs })
  t.teardown(() => balancer.destroy())
  const next = () => balancer.choose([])?.url
  balancer.eject(balancer.choose([]) as Address)
  t.same([next(), next()], ['http://b', 'http://b'])
  nowMs = 4_999
  t.equal(next(), 'http://b')
  nowMs = 5_000
  t.equal(next(), 'http://a')
  t.equal(balancer.choose(balancer.addresses), undefined, 'no address twice for one request')
})

/** A server that takes no connection and refuses none: it does not run, and as many wait as its backlog holds. */
async function fullBacklogForTest(t: Test): Promise<string> {
  const port = await freePort()
  const script = `require('net').createServer().listen({ port: ${port}, host: '127.0.0.1', backlog: 1 }, () => console.log('up'))`
  const server = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(server.stdout, 'data')
  server.kill('SIGSTOP')
  const waiting = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  t.teardown(() => {
    for (const socket of waiting) socket.destroy()
    server.kill('SIGKILL')
  })
  await Promise.all(waiting.slice(0, 2).map((socket) => once(socket, 'connect')))
  return `http://127.0.0.1:${port}`
}
