import { once } from 'node:events'
import { createServer } from 'node:net'

/** A TCP port on the loopback address that was free a moment ago. */
export async function freePort(): Promise<number> {
  return await freePortsInARow(1)
}

/**
 * The first of `count` TCP ports in a row that were free a moment ago: below those that the kernel gives to
 * connections, of which one may come at any time, also while a process that is to have the port again restarts.
 */
export async function freePortsInARow(count: number): Promise<number> {
  for (;;) {
    const first = 15_000 + Math.floor(Math.random() * 15_000)
    const free = await Promise.all(Array.from({ length: count }, (_, at) => isFree(first + at)))
    if (!free.includes(false)) return first
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1')
  const isOurs = await once(server, 'listening').then(
    () => true,
    () => false, // EADDRINUSE
  )
  if (!isOurs) return false
  server.close()
  await once(server, 'close')
  return true
}
