import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { type ClientOptions, createClient } from '../src/index.ts'

export type Listener = (request: IncomingMessage, reply: ServerResponse, count: number) => unknown

/** A client of a server of the test's own making. `count` is 1 for the first request. */
export async function clientForTest(t: Test, listener: Listener, options: Partial<ClientOptions> = {}) {
  const requests: IncomingMessage[] = []
  const server = createServer((request, reply) => {
    requests.push(request)
    request.resume() // or its end is never seen
    listener(request, reply, requests.length)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { client: createClient({ baseUrl, ...options }), requests, baseUrl }
}

export function sendJson(reply: ServerResponse, status: number, body: object, headers: Record<string, string> = {}) {
  reply.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

export const subtopics = {
  subtopics: ['Light'],
  count: 1,
  quality_score: 1,
  warnings: [],
  cached: false,
  from_fallback: false,
}
