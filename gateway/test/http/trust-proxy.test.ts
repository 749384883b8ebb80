import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { nginxForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config.ts'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

/** A gateway that believes whom `TRUST_PROXY` says, before a service that says whose request it got. */
async function believing(t: Test, TRUST_PROXY: string): Promise<string> {
  const TEXT_GENERATION_URL = await serviceForTest(t, (request, response) =>
    response.end(String(request.headers['x-forwarded-for'])),
  )
  return (await gatewayForTest(t, { TEXT_GENERATION_URL, TRUST_PROXY })).url
}

/** Who the service takes the client for, when it comes from `localAddress` and says this of itself. */
async function seenAs(url: string, forwarded: string | undefined, localAddress = '127.0.0.1'): Promise<string> {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded }
  const request = httpRequest(`${url}/api/subtopics?topic=Light`, { headers, localAddress }).end()
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return (await response.setEncoding('utf8').toArray()).join('')
}

t.test('whose X-Forwarded-For is believed, and whose is not', async (t) => {
  const table: [trusted: string, forwarded: string | undefined, seen: string][] = [
    ['false', '6.6.6.6', '127.0.0.1'],
    ['false', undefined, '127.0.0.1'],
    ['0', '6.6.6.6', '127.0.0.1'],
    ['1', '203.0.113.7', '203.0.113.7'],
    ['1', '6.6.6.6, 203.0.113.7', '203.0.113.7'],
    ['1', undefined, '127.0.0.1'],
    ['2', '6.6.6.6, 203.0.113.7, 10.0.0.1', '203.0.113.7'],
    ['loopback', '6.6.6.6, 203.0.113.7', '203.0.113.7'],
    ['loopback, uniquelocal', '6.6.6.6, 203.0.113.7, 10.0.0.1', '203.0.113.7'],
    ['127.0.0.1', '203.0.113.7', '203.0.113.7'],
    ['127.0.0.0/8,::1', '203.0.113.7', '203.0.113.7'],
    ['10.0.0.0/8,192.0.2.1,fd00::/8', '203.0.113.7', '127.0.0.1'],
  ]
  for (const [trusted, forwarded, seen] of table)
    t.equal(await seenAs(await believing(t, trusted), forwarded), seen, `${trusted}: ${forwarded}`)
})

t.test('a client that is not among the trusted addresses is not believed', async (t) => {
  const url = await believing(t, '127.0.0.2')
  t.equal(await seenAs(url, '203.0.113.7', '127.0.0.2'), '203.0.113.7')
  t.equal(await seenAs(url, '203.0.113.7', '127.0.0.3'), '127.0.0.3')
})

t.test('behind nginx, as compose has it, each client is known by its own address, whatever it claims', async (t) => {
  const { url } = await nginxForTest(t, { gateways: [await believing(t, '1')] })
  t.equal(await seenAs(url, undefined, '127.0.0.2'), '127.0.0.2')
  t.equal(await seenAs(url, '6.6.6.6', '127.0.0.3'), '127.0.0.3')
})

t.test('anything else is a fault of the configuration', async (t) => {
  const faults = 'true,yes,-1,1.5,100,nginx,10.0.0,10.0.0.1/0,10.0.0.1/33,10.0.0.1/8/8,::1/129,loopback;uniquelocal'
  for (const TRUST_PROXY of [...faults.split(','), 'loopback,', '10.0.0.1,private'])
    t.throws(() => loadConfig({ TRUST_PROXY }), { message: /TRUST_PROXY=.*: expected false, a count/ }, TRUST_PROXY)
})
