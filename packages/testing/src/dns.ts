import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { TestContext } from './test-context.ts'

export interface TestDnsServer {
  /** `127.0.0.1:port`, as `Resolver.setServers` takes it. */
  readonly server: string
  /** IPv4 addresses of every name. The test changes them; none: the name does not exist. */
  addresses: string[]
  /** True: every question gets a SERVFAIL. */
  isFailing: boolean
  /** Questions that came. */
  readonly questions: number
}

const typeA = 1
const flags = { ok: 0x8180, serverFailed: 0x8182, noSuchName: 0x8183 }

/** A DNS server over UDP that answers questions for A records. */
export async function dnsServerForTest(t: TestContext): Promise<TestDnsServer> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  const dns = {
    server: `127.0.0.1:${socket.address().port}`,
    addresses: [] as string[],
    isFailing: false,
    questions: 0,
  }
  socket.on('message', (query, { port, address }) => {
    dns.questions++
    socket.send(replyTo(query, dns), port, address)
  })
  return dns
}

/** RFC 1035: a header of 12 bytes, the question as it came, and one record of 16 bytes for each address. */
function replyTo(query: Buffer, { addresses, isFailing }: TestDnsServer): Buffer {
  const endOfName = query.indexOf(0, 12)
  const question = query.subarray(12, endOfName + 5)
  const isKnown = !isFailing && addresses.length > 0
  const answers = isKnown && question.readUInt16BE(question.length - 4) === typeA ? addresses.map(recordOf) : []
  const header = Buffer.alloc(12)
  query.copy(header, 0, 0, 2) // the id
  header.writeUInt16BE(isFailing ? flags.serverFailed : isKnown ? flags.ok : flags.noSuchName, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(answers.length, 6)
  return Buffer.concat([header, question, ...answers])
}

/** An A record of the name in the question, class IN, with a time to live of 0. */
function recordOf(address: string): Buffer {
  return Buffer.from([0xc0, 12, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)])
}
