import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { normalizeIP } from '@fastify/rate-limit'
import { Places } from './in-flight.ts'

export interface ConnectionLimits {
  MAX_CONNECTIONS: number
  MAX_CONNECTIONS_PER_ADDRESS: number
  HEADERS_TIMEOUT_MS: number
  REQUEST_TIMEOUT_MS: number
  KEEP_ALIVE_TIMEOUT_MS: number
}

/** How often Node looks for requests that take too long: its own 30 s would triple the timeout. */
export const serverOptions = { connectionsCheckingInterval: 1_000 }

/** So that clients spread over gateways that came later. */
const maxRequestsPerConnection = 10_000

/** Bounds how many connections are open, and how long a request may take to arrive: later it is a 408. */
export function connectionLimits(server: Server, config: ConnectionLimits): void {
  server.headersTimeout = config.HEADERS_TIMEOUT_MS
  server.requestTimeout = config.REQUEST_TIMEOUT_MS
  server.keepAliveTimeout = config.KEEP_ALIVE_TIMEOUT_MS
  server.maxRequestsPerSocket = maxRequestsPerConnection
  server.maxHeadersCount = 0 // what is too many is said, not dropped: body-limits.ts
  if (config.MAX_CONNECTIONS > 0) server.maxConnections = config.MAX_CONNECTIONS
  if (config.MAX_CONNECTIONS_PER_ADDRESS > 0) limitEachAddress(server, config.MAX_CONNECTIONS_PER_ADDRESS)
}

function limitEachAddress(server: Server, max: number): void {
  const places = new Places(max)
  server.on('connection', (socket: Socket) => {
    if (socket.remoteAddress === undefined) return // it has gone already
    const address = normalizeIP(socket.remoteAddress)
    if (places.take(address)) socket.once('close', () => places.leave(address))
    else socket.destroy()
  })
}
