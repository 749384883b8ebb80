import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { redisDisabled } from '@knowalledge/generation/quota'
import { createQuotaClient } from '@knowalledge/quota-client'
import { createResponseCache } from '@knowalledge/response-cache'
import { type App, createLogger, type Environment } from '@knowalledge/service-kit'
import { freePort } from '@knowalledge/testing'
import type { Test } from 'tap'
import { buildApp, type GatewayOptions } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

export interface LogLine {
  level: number
  msg: string
  [field: string]: unknown
}

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

export interface GatewayForTestOptions extends Partial<GatewayOptions> {
  /** Called before it listens. */
  prepare?: (app: App) => void
}

/** The gateway, listening; services that are not given refuse connections. */
export async function gatewayForTest(
  t: Test,
  env: Environment = {},
  { prepare = () => {}, ...more }: GatewayForTestOptions = {},
) {
  const dead = `http://127.0.0.1:${await freePort()}`
  const config = loadConfig({
    TEXT_GENERATION_URL: dead,
    VISION_URL: dead,
    IMAGE_GENERATION_URL: dead,
    UPSTREAM_CHECK_MS: '0',
    RATE_LIMIT_PER_MINUTE: '0',
    RATE_LIMIT_FAILED_LOGINS_PER_MINUTE: '0',
    MAX_IN_FLIGHT_PER_CLIENT: '0',
    MAX_EVENT_LOOP_DELAY_MS: '0', // the machine has other things to do
    ...env,
  })
  const requestCounts = { redis: undefined, onFault: () => {} }
  const quota = createQuotaClient({ pool: 'test', limits: { rpm: 15, rpd: 1_500, tpm: 1_000_000, tpd: 50_000_000 } })
  const pools: GatewayOptions['pools'] = [{ name: 'test', models: ['model'], quota }]
  const logged: LogLine[] = []
  const destination = { write: (line: string) => void logged.push(JSON.parse(line)) }
  const logger = createLogger({ level: 'info', pretty: false, destination })
  const cache = createResponseCache()
  const app = await buildApp({ config, cache, pools, requestCounts, checks: { redis: redisDisabled }, logger, ...more })
  prepare(app)
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
  return { app, cache, quota, url, post, dead, logged }
}
