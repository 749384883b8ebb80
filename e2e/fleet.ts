import { setTimeout as sleep } from 'node:timers/promises'
import { processForTest, redisServerForTest, type TestProcess } from '@knowalledge/testing'
import type { Test } from 'tap'

const textGeneration = 'services/text-generation/src/server.ts'

/** The tests are all one client, which asks more than a person would. */
const unlimitedDoor = {
  RATE_LIMIT_PER_MINUTE: '0',
  RATE_LIMIT_CHEAP_PER_MINUTE: '0',
  RATE_LIMIT_NOT_FOUND_PER_MINUTE: '0',
  RATE_LIMIT_FAILED_LOGINS_PER_MINUTE: '0',
  MAX_IN_FLIGHT: '0',
  MAX_IN_FLIGHT_PER_ADDRESS: '0',
  MAX_IN_FLIGHT_PER_CLIENT: '0',
  CLIENT_SHARE_PER_DAY: '1',
  MAX_EVENT_LOOP_DELAY_MS: '0', // the machine has other things to do
}

/** Separate processes as in production: one Redis, one emulator, a gateway (or several) and the named services before them. */
export async function fleetForTest(t: Test, { instances = 1, gateways: doors = 1, env = {} }: FleetOptions = {}) {
  const redis = await redisServerForTest(t)
  const emulator = await processForTest(t, 'packages/gemini-emulator/src/server.ts', {
    readyPath: '/emulator/counters',
    env,
  })
  const shared = {
    REDIS_URL: redis.url,
    GEMINI_BASE_URL: emulator.url,
    GEMINI_API_KEY: 'e2e-key',
    LOG_LEVEL: 'warn',
    DRAIN_MS: '0',
    QUOTA_NEW_POOL: 'open',
    ...unlimitedDoor,
    ...env,
  }
  const start = (file: string, more = {}) => processForTest(t, file, { env: { ...shared, ...more } })
  const startService = async (file: string, more = {}) => {
    const service = await start(file, more)
    // For its first two heartbeats it grants nothing.
    await eventually(
      () => quotaStateOf(service.url),
      (state) => state !== 'joining',
    )
    return service
  }
  const [vision, imageGeneration, ...text] = await Promise.all([
    startService('services/vision/src/server.ts'),
    startService('services/image-generation/src/server.ts'),
    ...Array.from({ length: instances }, () => startService(textGeneration)),
  ])
  const services = {
    TEXT_GENERATION_URL: text.map((instance) => instance.url).join(','),
    VISION_URL: vision.url,
    IMAGE_GENERATION_URL: imageGeneration.url,
  }
  const startGateway = () => start('gateway/src/server.ts', services)
  const [gateway, ...more] = await Promise.all([startGateway(), ...Array.from({ length: doors - 1 }, startGateway)])
  const counters = async () => (await (await fetch(`${emulator.url}/emulator/counters`)).json()) as EmulatorCounters
  return {
    redis,
    emulator,
    gateway,
    gateways: [gateway, ...more],
    text,
    vision,
    imageGeneration,
    counters,
    startText: (more: Record<string, string> = {}) => startService(textGeneration, more),
  }
}

async function quotaStateOf(url: string): Promise<string | undefined> {
  const { checks } = (await (await fetch(`${url}/ready`)).json()) as { checks: { quota?: { status: string } } }
  return checks.quota?.status
}

interface FleetOptions {
  /** Of text-generation. */
  instances?: number
  gateways?: number
  /** For every process. */
  env?: Record<string, string>
}

interface EmulatorCounters {
  admitted: number
  refused: { rpm: number; inputTpm: number; rpd: number }
  inFlight: number
}

export async function post(
  url: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Headers; body: Record<string, unknown> }> {
  const reply = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  return { status: reply.status, headers: reply.headers, body: (await reply.json()) as Record<string, unknown> }
}

/** Waits until something that is bound to happen has happened; a test that waits in vain fails with what it last saw. */
export async function eventually<T>(
  look: () => Promise<T>,
  isSo: (seen: T) => boolean,
  withinMs = 15_000,
): Promise<void> {
  const deadline = Date.now() + withinMs
  for (;;) {
    const seen = await look()
    if (isSo(seen)) return
    if (Date.now() > deadline) throw new Error(`in vain; last seen: ${JSON.stringify(seen)}`)
    await sleep(20)
  }
}

/** Waits for a line in a process's log: it may be read later than an answer that was written after it. */
export async function logged({ output }: Pick<TestProcess, 'output'>, line: RegExp): Promise<void> {
  await eventually(
    async () => output(),
    (text) => line.test(text),
  )
}
