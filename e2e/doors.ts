import { processForTest, redisServerForTest, runKeys, type TestProcess } from '@knowalledge/testing'
import type { Test } from 'tap'
import { upstreamForTest } from './edge-upstream.ts'

/** The same at gateways and services. */
export const gatewaySecret = 'a-secret-that-gateway-and-services-share'
/** The same at every gateway. */
export const sessionSecret = 'a-session-secret-that-all-gateways-share'

/** Two real gateways with AUTH=required on one Redis, before a service that answers everything, and what people do there. */
export async function doorsForTest(t: Test, env: Record<string, string> = {}) {
  const redis = await redisServerForTest(t)
  const service = await upstreamForTest(t, (request, reply) => {
    request.resume()
    const cacheable = 'public, max-age=300, s-maxage=900, stale-if-error=86400'
    reply.writeHead(200, { 'content-type': 'application/json', 'cache-control': cacheable }).end('{}')
  })
  const settings = {
    AUTH: 'required',
    SESSION_SECRET: sessionSecret,
    GATEWAY_SECRET: gatewaySecret,
    REDIS_URL: redis.url,
    TEXT_GENERATION_URL: service.url,
    VISION_URL: service.url,
    IMAGE_GENERATION_URL: service.url,
    LOG_LEVEL: 'warn',
    DRAIN_MS: '0',
    MAX_EVENT_LOOP_DELAY_MS: '0', // the machine has other things to do
    ...env,
  }
  const start = (options: { port?: number; env?: Record<string, string> } = {}) =>
    processForTest(t, 'gateway/src/server.ts', { ...options, env: { ...settings, ...options.env } })
  const doors = await Promise.all([start(), start()])
  const keys = (...args: string[]) => runKeys(redis.url, ...args)
  return { redis, service, doors, start, keys }
}

export const statusOf = async (
  door: TestProcess,
  headers: Record<string, string>,
  path = '/api/subtopics?topic=Light',
) => (await fetch(door.url + path, { headers })).status

/** Exchanges a key for a session: the `cookie` header that a browser would send from then on. */
export async function login(door: TestProcess, key: string): Promise<string> {
  const reply = await fetch(`${door.url}/api/session`, { method: 'POST', headers: { 'x-api-key': key } })
  if (reply.status !== 201) throw new Error(`no session: ${reply.status}`)
  return reply.headers.get('set-cookie')?.split(';', 1)[0] ?? ''
}
