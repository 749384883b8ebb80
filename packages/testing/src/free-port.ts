import { once } from 'node:events'
import { createServer } from 'node:net'

/** A TCP port on the loopback address that was free a moment ago. */
export async function freePort(): Promise<number> {
  return (await heldFor(0)) ?? (await freePort())
}

/**
 * The first of `count` TCP ports in a row that were free a moment ago: below those that the kernel gives to
 * connections, of which one may come at any time.
 */
export async function freePortsInARow(count: number): Promise<number> {
  for (;;) {
    const first = 15_000 + Math.floor(Math.random() * 15_000)
    const held = await Promise.all(Array.from({ length: count }, (_, at) => heldFor(first + at)))
    if (!held.includes(undefined)) return first
  }
}

/** Takes a port (0: any) and gives it back; undefined when it is taken. */
async function heldFor(port: number): Promise<number | undefined> {
  const server = createServer().listen(port, '127.0.0.1')
  const isOurs = await once(server, 'listening').then(
    () => true,
    () => false, // EADDRINUSE
  )
  if (!isOurs) return undefined
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no TCP address')
  return address.port
}
