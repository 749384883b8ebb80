import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

type Handler = (request: IncomingMessage, reply: ServerResponse) => unknown

/** A stand-in for a gateway where a test must decide what it answers, and when. Closed with the test. */
export async function upstreamForTest(t: Test, handler: Handler) {
  const seen: { method: string; url: string; headers: IncomingHttpHeaders }[] = []
  let connections = 0
  const server = createServer((request, reply) => {
    seen.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers })
    handler(request, reply)
  })
  server.on('connection', () => connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    /** Every request that arrived. */
    seen,
    connections: () => connections,
  }
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  /** `x-edge-cache`. */
  cache: string | undefined
  /** `x-request-id`. */
  requestId: string
  body: string
}

/** One request with exactly this path and these headers: `fetch` mends paths and adds headers of its own. */
export async function ask(
  url: string,
  path: string,
  {
    method = 'GET',
    headers = {},
    body = '',
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const { hostname, port } = new URL(url)
  const asked = request({ hostname, port, path, method, headers, agent: false })
  asked.on('error', () => {}) // after an early 413 the rest of the body is nobody's; before an answer `once` rejects
  asked.end(body)
  const [reply] = (await once(asked, 'response')) as [IncomingMessage]
  let text = ''
  for await (const piece of reply.setEncoding('utf8')) text += piece
  return {
    status: reply.statusCode ?? 0,
    headers: reply.headers,
    cache: reply.headers['x-edge-cache'] as string | undefined,
    requestId: String(reply.headers['x-request-id']),
    body: text,
  }
}
