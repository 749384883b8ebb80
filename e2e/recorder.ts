import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { processForTest } from '@knowalledge/testing'
import type { Test } from 'tap'

export interface RecordedRequest {
  method: string
  url: string
  headers: IncomingHttpHeaders
  body: string
}

/** A gateway whose services are one that writes down each complete request that gets as far, and answers `{}`. */
export async function recordedGatewayForTest(t: Test, env: Record<string, string>) {
  const seen: RecordedRequest[] = []
  const server = createServer(async (request, reply) => {
    const { method = '', url = '', headers } = request
    const body = await text(request).catch(() => undefined)
    if (body === undefined) return void reply.destroy() // cut short: no service acts on half a request
    if (url.startsWith('/api/')) seen.push({ method, url, headers, body })
    reply.setHeader('content-type', 'application/json').end('{}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const recorder = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const services = { TEXT_GENERATION_URL: recorder, VISION_URL: recorder, IMAGE_GENERATION_URL: recorder }
  const gateway = await processForTest(t, 'gateway/src/server.ts', {
    env: { REDIS_ENABLED: 'false', ...env, ...services },
  })
  return { ...gateway, seen }
}
