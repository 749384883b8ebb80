import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createQuotaClient } from '@knowalledge/quota-client'
import { createResponseCache } from '@knowalledge/response-cache'
import { createLogger, type Environment, redisCheck } from '@knowalledge/service-kit'
import { freePort } from '@knowalledge/testing'
import type { Test } from 'tap'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

/** A service of the test's own making behind the gateway. */
export async function serviceForTest(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** The gateway, listening; services that are not given refuse connections. */
export async function gatewayForTest(t: Test, env: Environment = {}) {
  const dead = `http://127.0.0.1:${await freePort()}`
  const config = loadConfig({
    TEXT_GENERATION_URL: dead,
    VISION_URL: dead,
    IMAGE_GENERATION_URL: dead,
    UPSTREAM_CHECK_MS: '0',
    RATE_LIMIT_PER_MINUTE: '0',
    ...env,
  })
  const requestCounts = { redis: undefined, onFault: () => {} }
  const quota = createQuotaClient({ pool: 'test', limits: { rpm: 15, rpd: 1_500, tpm: 1_000_000, tpd: 50_000_000 } })
  const logger = createLogger({ level: 'silent', pretty: false })
  const cache = createResponseCache()
  const app = await buildApp({ config, cache, quota, requestCounts, redis: redisCheck(undefined), logger })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => {
    await app.close()
    await Promise.all([quota.close(), cache.close()])
  })
  const post = (path: string, body: string | Uint8Array = '{}', headers: Record<string, string> = {}) =>
    fetch(url + path, {
      method: 'POST',
      body: body as string,
      headers: { 'content-type': 'application/json', ...headers },
    })
  return { app, cache, quota, url, post, dead }
}
