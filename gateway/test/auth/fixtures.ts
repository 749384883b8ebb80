import type { Environment } from '@knowalledge/service-kit'
import { redisServerForTest, type TestRedisServer } from '@knowalledge/testing'
import type { Test } from 'tap'
import { ApiKeys } from '../../src/auth/api-keys.ts'
import { gatewayForTest, serviceForTest } from '../fixtures.ts'

export const sessionSecret = 'the-session-secret-of-this-test-1234'
export const gatewaySecret = 'the-gateway-secret-of-this-test-1234'
export const dayMs = 86_400_000

/** A clock that stands still until a test moves it. */
export function clockForTest(startMs = Date.UTC(2030, 0, 1)) {
  const clock = Object.assign(() => clock.nowMs, { nowMs: startMs })
  return clock
}

/** A gateway with AUTH=required before one service that answers everything; its clock, its Redis, and the store of its keys. */
export async function doorForTest(
  t: Test,
  { env = {}, server: given }: { env?: Environment; server?: TestRedisServer } = {},
) {
  const server = given ?? (await redisServerForTest(t))
  const clock = clockForTest()
  // As a gateway's own: nothing waits for a connection that is not there. The gateway's timeout is the circuit breaker's.
  const redis = server.connect({ enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: 10_000 })
  await new Promise((resolve) => redis.once('ready', resolve))
  const passedOn: string[] = []
  const service = await serviceForTest(t, (request, reply) => {
    passedOn.push(`${request.method} ${request.url}`)
    request.resume()
    reply.writeHead(200, {
      'content-type': 'application/json',
      'cache-control': request.url?.startsWith('/api/images/')
        ? 'public, max-age=31536000, immutable'
        : 'public, max-age=300, s-maxage=900, stale-if-error=86400',
      vary: 'Accept-Language',
    })
    reply.end('{}')
  })
  const gateway = await gatewayForTest(
    t,
    {
      AUTH: 'required',
      SESSION_SECRET: sessionSecret,
      GATEWAY_SECRET: gatewaySecret,
      TEXT_GENERATION_URL: service,
      VISION_URL: service,
      IMAGE_GENERATION_URL: service,
      ...env,
    },
    { identityStore: { redis, clock, onFault: () => {} } },
  )
  const keys = new ApiKeys({ redis, clock })
  const makeKey = (tenant = 'school-a', days = 90) => keys.create({ tenant, expiresAtMs: clock() + days * dayMs })
  const ask = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    fetch(gateway.url + path, { method, headers })
  return { ...gateway, ask, clock, keys, makeKey, passedOn, redis, server }
}

export const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })

/** Exchanges a key for a session: the `cookie` header that a browser would send from then on. */
export async function login(url: string, secret: string, headers: Record<string, string> = {}): Promise<string> {
  const reply = await fetch(`${url}/api/session`, { method: 'POST', headers: { ...bearer(secret), ...headers } })
  if (reply.status !== 201) throw new Error(`no session: ${reply.status} ${await reply.text()}`)
  return String(reply.headers.get('set-cookie')).split(';', 1)[0] as string
}
