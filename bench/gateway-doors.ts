import { nginxForTest, processForTest, redisServerForTest, runKeys, type TestContext } from '@knowalledge/testing'

/** One way through to the upstream. */
export interface Door {
  name: string
  url: string
  headers: Record<string, string>
  /** `door` is what is compared; `redis` is what the gateway asks beside it. */
  processes: { door: number; redis?: number }
}

/** What the others are compared with. */
export const bareDoor = 'bare @fastify/http-proxy'

/** More than comes, so that all is counted and nothing refused. */
const plenty = '1000000000'

/** Starts everything, each a process of its own as in production; every door leads to the same upstream. */
export async function doors(t: TestContext): Promise<Door[]> {
  const upstream = await processForTest(t, 'bench/bare-upstream.ts', { readyPath: '/' })
  const nginx = await nginxForTest(t, { gateways: [upstream.url] })
  const bare = await processForTest(t, 'bench/bare-proxy.ts', { readyPath: '/', env: { UPSTREAM: upstream.url } })
  const redis = await redisServerForTest(t)
  const gateway = (env: Record<string, string>) =>
    processForTest(t, 'gateway/src/server.ts', {
      env: {
        REDIS_URL: redis.url,
        TEXT_GENERATION_URL: upstream.url,
        VISION_URL: upstream.url,
        IMAGE_GENERATION_URL: upstream.url,
        ...env,
      },
    })
  const everything = {
    AUTH: 'required',
    SESSION_SECRET: 'a-session-secret-for-this-benchmark',
    GATEWAY_SECRET: 'a-gateway-secret-for-this-benchmark',
    TRUST_PROXY: '1',
    CORS_ORIGINS: 'https://app.example.com',
    RATE_LIMIT_PER_MINUTE: plenty,
  }
  const key = await runKeys(redis.url, 'create', '--tenant', 'bench', '--rpm', '1000000')
  const redisPid = pid(redis)
  const all = await gateway(everything)
  const off = await gateway({ AUTH: 'off', RATE_LIMIT_PER_MINUTE: '0', LOG_LEVEL: 'warn' })
  const headers = { 'X-API-Key': key }
  return [
    { name: 'nginx', url: nginx.url, headers: {}, processes: { door: pid(nginx) } },
    { name: bareDoor, url: bare.url, headers: {}, processes: { door: pid(bare) } },
    { name: 'gateway, everything on', url: all.url, headers, processes: { door: pid(all), redis: redisPid } },
    {
      name: 'gateway, without keys, rate limits and log',
      url: off.url,
      headers: {},
      processes: { door: pid(off), redis: redisPid },
    },
  ].map((door) => ({ ...door, url: `${door.url}/api/create_subtopics` }))
}

function pid({ process }: { process: { pid?: number | undefined } }): number {
  if (process.pid === undefined) throw new Error('a process without an id')
  return process.pid
}
