import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from './test-context.ts'

/**
 * What becomes of the bytes: `pass` them on; `swallow-requests` or `swallow-replies` of connections that stay open;
 * `cut-on-reply`: let requests through and, instead of the next reply, close the connection, so that the request
 * has been done and nobody knows; `refuse` connections.
 */
export type FaultMode = 'pass' | 'swallow-requests' | 'swallow-replies' | 'cut-on-reply' | 'refuse'

export interface FaultProxy {
  port: number
  /** Where new connections go: another port after a failover. */
  targetPort: number
  mode: FaultMode
  /** Delay of every reply, in milliseconds. */
  delayMs: number
  /** Called before a reply is passed on, with what its connection sent last. */
  onReply: ((reply: Buffer, request: Buffer) => void) | undefined
  /** Closes all connections at once, as a lost network does. */
  cut(): void
}

/** A TCP proxy on the loopback address that does to a connection what networks do. Closed with the test. */
export async function faultProxyForTest(t: TestContext, targetPort: number): Promise<FaultProxy> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    if (proxy.mode === 'refuse') client.destroy()
    else join(client, connect(proxy.targetPort, '127.0.0.1'), { proxy, sockets })
  })
  const proxy: FaultProxy = {
    port: 0,
    targetPort,
    mode: 'pass',
    delayMs: 0,
    onReply: undefined,
    cut() {
      for (const socket of sockets) socket.destroy()
    },
  }
  proxy.port = await listen(server)
  t.teardown(async () => {
    proxy.cut()
    server.close()
    await once(server, 'close')
  })
  return proxy
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  return address.port
}

function join(client: Socket, target: Socket, { proxy, sockets }: { proxy: FaultProxy; sockets: Set<Socket> }): void {
  for (const [socket, other] of [
    [client, target],
    [target, client],
  ] as const) {
    socket.setNoDelay(true)
    sockets.add(socket)
    socket.on('error', () => {}) // the close that follows is what counts
    socket.on('close', () => {
      sockets.delete(socket)
      other.destroy()
    })
  }
  let request: Buffer = Buffer.alloc(0)
  client.on('data', (bytes) => {
    request = bytes
    if (proxy.mode !== 'swallow-requests') target.write(bytes)
  })
  target.on('data', (bytes) => {
    if (proxy.mode === 'swallow-replies') return
    proxy.onReply?.(bytes, request)
    if (proxy.mode === 'cut-on-reply') {
      proxy.mode = 'pass'
      client.destroy()
    } else if (proxy.delayMs > 0) setTimeout(() => client.writable && client.write(bytes), proxy.delayMs)
    else client.write(bytes)
  })
}
