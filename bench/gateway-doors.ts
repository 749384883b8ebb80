import { nginxForTest, processForTest, redisServerForTest, type TestContext } from '@knowalledge/testing'
import { ApiKeys } from '../gateway/src/auth/api-keys.ts'
import { pidOf } from './process-figures.ts'

/** One way through to the upstream. */
export interface Door {
  name: string
  url: string
  /** `door` is what is compared; `redis` is what the gateway asks beside it. */
  processes: { door: number; redis?: number }
}

/** What the others are compared with. */
export const bareDoor = 'bare @fastify/http-proxy'
/** What is promised. */
export const everythingOn = 'gateway, everything on'

/** More than comes, so that all is counted and nothing refused. */
const plenty = '1000000000'

/** Starts everything, each a process of its own as in production; every door leads to the same upstream. */
export async function doors(t: TestContext, keyCount: number): Promise<{ list: Door[]; keys: string[] }> {
  const upstream = await processForTest(t, 'bench/bare-upstream.ts', { readyPath: '/' })
  const nginx = await nginxForTest(t, { gateways: [upstream.url], isBehindProxy: true })
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
  const store = new ApiKeys({ redis: redis.connect() })
  const newKey = async (_: unknown, n: number) =>
    (await store.create({ tenant: `tenant-${n}`, expiresAtMs: Date.now() + 86_400_000 })).secret
  const keys = await Promise.all(Array.from({ length: keyCount }, newKey))
  const redisPid = pidOf(redis)
  const all = await gateway(everything)
  const off = await gateway({ AUTH: 'off', RATE_LIMIT_PER_MINUTE: '0', LOG_LEVEL: 'warn' })
  const list = [
    { name: 'nginx', url: nginx.url, processes: { door: pidOf(nginx) } },
    { name: bareDoor, url: bare.url, processes: { door: pidOf(bare) } },
    { name: everythingOn, url: all.url, processes: { door: pidOf(all), redis: redisPid } },
    {
      name: 'gateway, without keys, rate limits and log',
      url: off.url,
      processes: { door: pidOf(off), redis: redisPid },
    },
  ].map((door) => ({ ...door, url: `${door.url}/api/create_subtopics` }))
  return { list, keys }
}
