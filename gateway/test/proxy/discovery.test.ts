import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { dnsServerForTest, freePort } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { Discovery, systemLookup } from '../../src/proxy/discovery.ts'
import { HealthChecker } from '../../src/proxy/health-checks.ts'
import { LoadBalancer } from '../../src/proxy/load-balancer.ts'
import { gatewayForTest } from '../fixtures.ts'

const [a, b, c] = ['127.0.0.2', '127.0.0.3', '127.0.0.4'] as const

/** A service whose instances have one name and one port, as containers have, behind a gateway that looks them up. */
async function fleetForTest(t: Test) {
  const dns = await dnsServerForTest(t)
  const resolver = new Resolver({ timeout: 10_000, tries: 1 })
  resolver.setServers([dns.server])
  const port = await freePort()
  const held = new Map<string, () => void>()
  const unready = new Set<string>()
  const hosts = new Set<string | undefined>()
  /** Answers with its address; a body `hold` waits until the test lets it go on. */
  const startInstance = async (address: string) => {
    const server = createServer(async (request, response) => {
      if (request.url === '/ready') return void response.writeHead(unready.has(address) ? 503 : 200).end()
      hosts.add(request.headers.host)
      if ((await text(request)) === 'hold') await new Promise<void>((resolve) => held.set(address, resolve))
      response.end(address)
    }).listen(port, address)
    await once(server, 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
  }
  const startGateway = async () => {
    const env = { TEXT_GENERATION_URL: `http://text-generation.test:${port}`, UPSTREAM_LOOKUP_MS: '20' }
    const { post, logged } = await gatewayForTest(t, env, { lookup: (name) => resolver.resolve4(name) })
    const request = async (body = '') => (await post('/api/create_subtopics', body)).text()
    return { request, logged, messages: (msg: string) => logged.filter((line) => line.msg === msg) }
  }
  return { dns, port, held, unready, hosts, startInstance, startGateway }
}

/** Requests until six answers in a row come from exactly these. */
async function servedBy(request: () => Promise<string>, ...addresses: string[]): Promise<void> {
  for (;;) {
    const seen = new Set<string>()
    for (let n = 0; n < 6; n++) seen.add(await request())
    if ([...seen].sort().join() === addresses.join()) return
  }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(5)
}

t.test('a name means all its addresses, as they come and go', async (t) => {
  const { dns, port, hosts, startInstance, startGateway } = await fleetForTest(t)
  for (const address of [a, b, c]) await startInstance(address)
  dns.addresses = [a]
  const { request } = await startGateway()
  await servedBy(request, a)
  dns.addresses = [b, a]
  await servedBy(request, a, b)
  dns.addresses = [a, b, c]
  await servedBy(request, a, b, c)
  dns.addresses = [c]
  await servedBy(request, c)
  t.same([...hosts], [`text-generation.test:${port}`], 'requests name the host that is configured')
})

t.test('an address that disappears gets no new request, and its running one finishes', async (t) => {
  const { dns, held, startInstance, startGateway } = await fleetForTest(t)
  for (const address of [a, b]) await startInstance(address)
  dns.addresses = [a]
  const { request, messages } = await startGateway()
  await servedBy(request, a)
  const running = request('hold')
  await until(() => held.has(a))
  dns.addresses = [b]
  await until(() => messages('addresses of a service changed').length === 2)
  for (let n = 0; n < 4; n++) t.equal(await request(), b)
  held.get(a)?.()
  t.equal(await running, a)
})

t.test('a failed look-up keeps the last addresses, and is logged once', async (t) => {
  const { dns, startInstance, startGateway } = await fleetForTest(t)
  for (const address of [a, b]) await startInstance(address)
  dns.addresses = [a, b]
  const { request, messages } = await startGateway()
  await servedBy(request, a, b)
  for (const fail of [() => (dns.isFailing = true), () => (dns.addresses = [])]) {
    fail()
    const { questions } = dns
    await until(() => dns.questions > questions + 5)
    await servedBy(request, a, b)
  }
  const failures = messages('look-up of a service failed, keeping its last addresses')
  t.match(failures, [{ level: 40, service: 'text-generation', hostname: 'text-generation.test' }])
  t.equal(failures.length, 1)
  dns.addresses = [b]
  dns.isFailing = false
  await servedBy(request, b)
  t.equal(messages('look-up of a service works again').length, 1)
})

t.test('an address that joins gets requests when a check has found it ready', async (t) => {
  const { port, unready, startInstance } = await fleetForTest(t)
  for (const address of [a, b]) await startInstance(address)
  const url = `http://text-generation.test:${port}`
  const balancer = new LoadBalancer({ name: 'vision', urls: [url], timeoutMs: 60_000, isChecked: true })
  const checker = new HealthChecker([balancer], 30_000)
  t.teardown(async () => {
    checker.close()
    await balancer.destroy()
  })
  const chosen = () => [...new Set([1, 2, 3, 4].map(() => balancer.choose([])?.ip))].sort()
  balancer.setAddresses(url, [a])
  await checker.check()
  balancer.setAddresses(url, [a, b])
  t.same(chosen(), [a], 'not before its first check')
  unready.add(b)
  await checker.check()
  t.same(chosen(), [a], 'not while it is not ready')
  unready.delete(b)
  await checker.check()
  t.same(chosen(), [a, b])
})

t.test('names and addresses may be mixed, and only names are looked up', async (t) => {
  const urls = ['http://one.test:1', 'http://127.0.0.9:2', 'http://[::1]:3', 'http://localhost:4', 'http://two.test:5']
  const balancer = new LoadBalancer({ name: 'vision', urls, timeoutMs: 1_000 })
  t.teardown(() => balancer.destroy())
  const lookedUp: string[] = []
  const lookup = async (hostname: string) => {
    lookedUp.push(hostname)
    return hostname === 'one.test' ? ['10.0.0.2', '10.0.0.1', '10.0.0.2'] : ['10.0.0.3']
  }
  const discovery = new Discovery({ balancers: [balancer], lookup, log: { info() {}, warn() {} } })
  await discovery.refresh()
  t.same(lookedUp, ['one.test', 'two.test'])
  const expected = [
    ['http://127.0.0.9:2', undefined],
    ['http://[::1]:3', undefined],
    ['http://localhost:4', undefined],
    ['http://one.test:1', '10.0.0.1'],
    ['http://one.test:1', '10.0.0.2'],
    ['http://two.test:5', '10.0.0.3'],
  ]
  const addresses = () => balancer.addresses.map(({ url, ip }) => [url, ip])
  t.same(addresses(), expected)
  const { changes } = balancer
  await discovery.refresh()
  t.same(addresses(), expected)
  t.equal(balancer.changes, changes, 'the same addresses are no change')
})

t.test('a look-up that takes long is not repeated meanwhile', async (t) => {
  const balancer = new LoadBalancer({ name: 'vision', urls: ['http://slow.test:1'], timeoutMs: 1_000 })
  t.teardown(() => balancer.destroy())
  const answers: PromiseWithResolvers<string[]>[] = []
  const lookup = () => {
    const answer = Promise.withResolvers<string[]>()
    answers.push(answer)
    return answer.promise
  }
  const discovery = new Discovery({ balancers: [balancer], lookup, log: { info() {}, warn() {} } })
  const refreshing = [discovery.refresh(), discovery.refresh()]
  t.equal(answers.length, 1)
  answers[0]?.resolve(['10.0.0.1'])
  await Promise.all(refreshing)
  void discovery.refresh()
  t.equal(answers.length, 2)
})

t.test('a look-up that ends after the gateway was closed changes nothing', async (t) => {
  const balancer = new LoadBalancer({ name: 'vision', urls: ['http://late.test:1'], timeoutMs: 1_000 })
  await balancer.destroy()
  t.notOk(balancer.setAddresses('http://late.test:1', ['10.0.0.1']))
  t.same(
    balancer.addresses.map(({ ip }) => ip),
    [undefined],
  )
})

t.test('the operating system finds the addresses of one family', async (t) => {
  const addresses = await systemLookup('localhost')
  t.ok(addresses.length > 0)
  t.equal(new Set(addresses.map((address) => address.includes(':'))).size, 1)
})
