import { once } from 'node:events'
import { redisOptions } from '@knowalledge/redis-kit'
import {
  freePort,
  processForTest,
  redisServerForTest,
  type TestContext,
  type TestProcess,
  type TestRedisServer,
} from '@knowalledge/testing'
import { createQuotaClient } from '../packages/quota-client/src/index.ts'

/** Enough that the calls of all streams are made in a few minutes; more than that starts at once. */
const rpm = 3_000
const plenty = 1_000_000_000
const limits = { rpm, rpd: plenty, tpm: plenty, tpd: plenty }
const pool = 'streams'

const env = {
  LOG_LEVEL: 'error',
  QUOTA_POOL: pool,
  QUOTA_RPM: String(rpm),
  QUOTA_RPD: String(plenty),
  QUOTA_TPM: String(plenty),
  QUOTA_TPD: String(plenty),
  QUOTA_NEW_POOL: 'open',
  MAX_STREAM_WAIT_SECONDS: '3600',
  CLIENT_SHARE_PER_DAY: '1',
  EMULATOR_RPM: String(plenty),
  EMULATOR_RPD: String(plenty),
  EMULATOR_INPUT_TPM: String(plenty),
  EMULATOR_LATENCY_MS: '100',
  GEMINI_API_KEY: 'bench-key',
  RATE_LIMIT_PER_MINUTE: '0',
  MAX_EVENT_LOOP_DELAY_MS: '0',
  TRUST_PROXY: 'loopback', // each stream is of an address of its own
  NODE_OPTIONS: '--inspect=127.0.0.1:0', // for `collectGarbage`
}
const service = 'services/text-generation/src/server.ts'

/** A gateway, two instances of text-generation, Redis and Gemini's emulator, each a process. */
export class StreamsFleet {
  readonly redis: TestRedisServer
  readonly gateway: TestProcess
  readonly services: TestProcess[]
  readonly #t: TestContext
  readonly #emulatorUrl: string

  private constructor(
    t: TestContext,
    parts: Pick<StreamsFleet, 'redis' | 'gateway' | 'services'> & { emulator: string },
  ) {
    this.#t = t
    this.#emulatorUrl = parts.emulator
    this.redis = parts.redis
    this.gateway = parts.gateway
    this.services = parts.services
  }

  static async start(t: TestContext): Promise<StreamsFleet> {
    const redis = await redisServerForTest(t)
    const file = 'packages/gemini-emulator/src/server.ts'
    const { url: emulator } = await processForTest(t, file, { readyPath: '/emulator/counters', env })
    const shared = { ...env, REDIS_URL: redis.url, GEMINI_BASE_URL: emulator }
    const startService = async () => await processForTest(t, service, { env: shared, port: await freePort() })
    const services = [await startService(), await startService()]
    const urls = services.map(({ url }) => url).join(',')
    // There is nobody behind two of its routes.
    const ofGateway = { ...shared, TEXT_GENERATION_URL: urls, UPSTREAM_CHECK_MS: '5000' }
    const gateway = await processForTest(t, 'gateway/src/server.ts', { env: ofGateway })
    return new StreamsFleet(t, { redis, gateway, services, emulator })
  }

  get url(): string {
    return this.gateway.url
  }

  /** Nothing starts for so long. The end of it, in milliseconds since the epoch. */
  async pause(ms: number): Promise<number> {
    const redis = this.redis.connect().duplicate(redisOptions({}))
    const quota = createQuotaClient({ redis, pool, limits })
    const untilMs = Date.now() + ms
    do await quota.pause({ limitType: 'rpm', untilMs })
    while ((await quota.usage()).pause === null) // on a busy machine the first reply may come too late
    await quota.close()
    redis.disconnect()
    return untilMs
  }

  /** Ends an instance as a deploy does, and starts it again where it was. False when it did not end in time by itself. */
  async restart(which: 0 | 1): Promise<boolean> {
    const old = this.services[which] as TestProcess
    const code = await old.stop('SIGTERM')
    const shared = { ...env, REDIS_URL: this.redis.url, GEMINI_BASE_URL: this.#emulatorUrl }
    this.services[which] = await processForTest(this.#t, service, { env: shared, port: Number(new URL(old.url).port) })
    return code === 0
  }

  /** Calls that Gemini got. */
  async calls(): Promise<number> {
    const counters = (await (await fetch(`${this.#emulatorUrl}/emulator/counters`)).json()) as { admitted: number }
    return counters.admitted
  }
}

/** Lets a process drop what it does not use any more, so that its memory is what it needs. */
export async function collectGarbage(process: TestProcess): Promise<void> {
  const url = /^Debugger listening on (ws:\S+)$/m.exec(process.output())?.[1]
  if (url === undefined) throw new Error('a process without an inspector')
  const inspector = new WebSocket(url)
  await once(inspector, 'open')
  for (const id of [1, 2]) {
    inspector.send(JSON.stringify({ id, method: 'HeapProfiler.collectGarbage' }))
    await once(inspector, 'message')
  }
  inspector.close()
}
