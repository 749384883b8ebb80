import { processForTest, redisServerForTest, type TestContext, type TestProcess } from '@knowalledge/testing'
import { paths } from './cache-questions.ts'
import { pidOf, residentMiB } from './process-figures.ts'

/** One gateway before a number of text-generation instances, over the Redis and the emulator of all fleets. */
export interface ScaledFleet {
  instances: number
  url: string
  processes: { gateway: TestProcess; services: TestProcess[] }
  redisPid: number
  /** From the start of a process until it said that it is ready; of each service. */
  startMs: number[]
  /** Of a service, before it had anything to do. */
  idleMiB: number[]
}

const latencyMs = 800
const plenty = '1000000000'
const env = {
  LOG_LEVEL: 'warn',
  QUOTA_RPM: '1000000',
  QUOTA_RPD: plenty,
  QUOTA_TPM: plenty,
  QUOTA_TPD: '1000000000000',
  EMULATOR_RPM: plenty,
  EMULATOR_RPD: plenty,
  EMULATOR_INPUT_TPM: '1000000000000',
  EMULATOR_LATENCY_MS: String(latencyMs),
  GEMINI_API_KEY: 'bench-key',
  RATE_LIMIT_PER_MINUTE: '0',
  MAX_IN_FLIGHT_PER_ADDRESS: '0',
}

/** Starts a fleet of each size, one after the other so that their start times are their own, with the known answers in memory. */
export async function scaledFleets(
  t: TestContext,
  sizes: readonly number[],
): Promise<{ fleets: ScaledFleet[]; redis: string }> {
  const redis = await redisServerForTest(t)
  const emulator = await processForTest(t, 'packages/gemini-emulator/src/server.ts', {
    readyPath: '/emulator/counters',
    env,
  })
  const fleets: ScaledFleet[] = []
  for (const instances of sizes) {
    const of = { QUOTA_POOL: `fleet-of-${instances}`, REDIS_URL: redis.url, GEMINI_BASE_URL: emulator.url }
    const shared = { ...env, ...of }
    const services: TestProcess[] = []
    const startMs: number[] = []
    while (services.length < instances) {
      const startedAt = performance.now()
      const file = 'services/text-generation/src/server.ts'
      services.push(await processForTest(t, file, { env: shared, readyPath: '/ready' }))
      startMs.push(performance.now() - startedAt)
    }
    const idleMiB = services.map((service) => residentMiB(pidOf(service)))
    const urls = services.map(({ url }) => url)
    const gateway = await processForTest(t, 'gateway/src/server.ts', {
      env: { ...shared, TEXT_GENERATION_URL: urls.join(','), UPSTREAM_CHECK_MS: '5000' }, // there is nobody behind two of its routes
    })
    for (const url of urls) await askAll(url)
    fleets.push({
      instances,
      url: gateway.url,
      processes: { gateway, services },
      redisPid: pidOf(redis),
      startMs,
      idleMiB,
    })
  }
  const version = /redis_version:(\S+)/.exec(await redis.connect().info('server'))?.[1]
  return { fleets, redis: version ?? 'unknown' }
}

async function askAll(url: string): Promise<void> {
  const replies = await Promise.all(paths.map((path) => fetch(url + path)))
  for (const reply of replies) {
    if (reply.status !== 200) throw new Error(`${reply.url}: ${reply.status} ${await reply.text()}`)
    await reply.text()
  }
}
