import {
  nginxForTest,
  processForTest,
  redisServerForTest,
  type TestContext,
  type TestProcess,
} from '@knowalledge/testing'
import { paths } from './cache-questions.ts'
import { pidOf } from './process-figures.ts'

/** One way to get the same answers, and the processes that have work with it. */
export interface Contender {
  name: string
  url: string
  /** How many requests are in flight, in one measurement and the next. */
  loads: readonly number[]
  /** Their names with their process ids; `service` is the one behind the gateway. */
  processes: Partial<Record<'edge' | 'gateway' | 'service' | 'redis', number>>
  /** Answers so far that came from elsewhere than the name says. */
  strays(): Promise<number>
}

/** What is promised of the memory hit is promised beside a bare route whose gateway logs as much. */
export const pairs = [
  { level: 'warn', bare: 'bare route', memoryHit: 'memory hit', loads: [1, 16] },
  { level: 'info', bare: 'bare route, logging', memoryHit: 'memory hit, logging', loads: [16] },
] as const

const textGeneration = 'services/text-generation/src/server.ts'
const plenty = '1000000'
const common = {
  LOG_LEVEL: 'warn',
  RATE_LIMIT_PER_MINUTE: '0',
  QUOTA_RPM: plenty,
  QUOTA_RPD: plenty,
  EMULATOR_RPM: plenty,
  EMULATOR_RPD: plenty,
  GEMINI_API_KEY: 'bench-key',
}

/** Starts everything, each a process as in production over one Redis, with the answers already where they are to come from. */
export async function contenders(t: TestContext): Promise<{ list: Contender[]; redis: string }> {
  const redis = await redisServerForTest(t)
  const emulator = await processForTest(t, 'packages/gemini-emulator/src/server.ts', {
    readyPath: '/emulator/counters',
    env: common,
  })
  // Large enough a quota to make all the answers at once.
  const env = { ...common, REDIS_URL: redis.url, GEMINI_BASE_URL: emulator.url }
  const start = (file: string, more = {}) => processForTest(t, file, { env: { ...env, ...more } })
  const gatewayOf = (service: TestProcess, more = {}) =>
    start('gateway/src/server.ts', { TEXT_GENERATION_URL: service.url, ...more })

  const remembering = await start(textGeneration)
  const forgetful = await start(textGeneration, { CACHE_MAX_ITEMS: '1' })
  for (const _ of ['made', 'from memory']) await askAll(remembering.url)
  const bareService = await processForTest(t, 'bench/bare-service.ts', {
    readyPath: paths[0] as string,
    env: { ANSWERS_FROM: remembering.url },
  })
  const behindEdge = await gatewayOf(remembering)
  const nginx = await nginxForTest(t, { gateways: [behindEdge.url], isBehindProxy: true })
  await askAll(nginx.url)

  const redisPid = pidOf(redis)
  const forgets = await gatewayOf(forgetful)
  const list: Contender[] = []
  for (const { level, bare, memoryHit, loads } of pairs) {
    const env = { LOG_LEVEL: level }
    const service = level === common.LOG_LEVEL ? remembering : await start(textGeneration, env)
    for (const _ of ['from Redis', 'from memory']) await askAll(service.url)
    const [beforeBare, before] = await Promise.all([gatewayOf(bareService, env), gatewayOf(service, env)])
    await assertSameBytes(beforeBare.url, before.url)
    list.push({
      name: bare,
      url: beforeBare.url,
      loads,
      processes: { gateway: pidOf(beforeBare), service: pidOf(bareService) },
      strays: async () => 0, // it has nothing else to answer with
    })
    list.push({
      name: memoryHit,
      url: before.url,
      loads,
      processes: { gateway: pidOf(before), service: pidOf(service), redis: redisPid },
      strays: () => counted(service, /^cache_operations_total\{.*result="(?!memory)/),
    })
  }
  list.push({
    name: 'Redis hit',
    url: forgets.url,
    loads: [1, 16],
    processes: { gateway: pidOf(forgets), service: pidOf(forgetful), redis: redisPid },
    strays: () => counted(forgetful, /^cache_operations_total\{.*result="(?!redis)/),
  })
  list.push({
    name: 'edge hit',
    url: nginx.url,
    loads: [1, 16],
    processes: { edge: pidOf(nginx), gateway: pidOf(behindEdge) },
    strays: () => counted(behindEdge, /^http_requests_total\{.*endpoint="create_subtopics"/),
  })
  const version = /redis_version:(\S+)/.exec(await redis.connect().info('server'))?.[1]
  return { list, redis: version ?? 'unknown' }
}

/** The bare route is a fair measure only if a client cannot tell it from the real one. */
async function assertSameBytes(bareUrl: string, realUrl: string): Promise<void> {
  for (const path of paths) {
    const [theirs, ours] = (await Promise.all([seen(bareUrl + path), seen(realUrl + path)])) as [string, string]
    if (theirs !== ours) throw new Error(`the bare route answers otherwise:\n${theirs}\n${ours}`)
  }
}

async function seen(url: string): Promise<string> {
  const reply = await fetch(url)
  const headers = Object.fromEntries(reply.headers)
  for (const eachTimeAnother of ['date', 'x-request-id']) delete headers[eachTimeAnother]
  return JSON.stringify([reply.status, headers, await reply.text()])
}

async function askAll(url: string): Promise<void> {
  for (const path of paths) {
    const reply = await fetch(url + path)
    if (reply.status !== 200) throw new Error(`${path}: ${reply.status} ${await reply.text()}`)
    await reply.text()
  }
}

/** The sum of the samples of a process's /metrics whose line matches. */
async function counted({ url }: TestProcess, line: RegExp): Promise<number> {
  const samples = (await (await fetch(`${url}/metrics`)).text()).split('\n').filter((sample) => line.test(sample))
  return samples.reduce((sum, sample) => sum + Number(sample.slice(sample.lastIndexOf(' '))), 0)
}
