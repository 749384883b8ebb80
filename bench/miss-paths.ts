import { processForTest, redisServerForTest, type TestContext, type TestProcess } from '@knowalledge/testing'
import { pidOf } from './process-figures.ts'
import type { Loaded } from './wrk.ts'

/** A way from a client to the stub of Gemini; each question is a new one. */
export interface Path extends Loaded {
  /** What a request gets on the way. */
  does: string
}

/** What the others are compared with. */
export const forwarder = 'bare node:http forwarder'
export const proxy = 'bare @fastify/http-proxy'
export const portkey = '@portkey-ai/gateway'
export const system = 'gateway and text-generation'

const plenty = '1000000000'
/** So much that nothing is refused; all else as it is by default, with a log line a request. */
const settings = {
  QUOTA_RPM: '1000000',
  QUOTA_RPD: plenty,
  QUOTA_TPM: plenty,
  QUOTA_TPD: '1000000000000',
  QUOTA_NEW_POOL: 'open',
  CLIENT_SHARE_PER_DAY: '1',
  RATE_LIMIT_PER_MINUTE: plenty,
  GEMINI_API_KEY: 'bench-key',
  // As in the images.
  MALLOC_ARENA_MAX: '1',
  NODE_OPTIONS: '--max-semi-space-size=16',
  UPSTREAM_CHECK_MS: '5000', // there is nobody behind two of the gateway's routes
}

interface Behind {
  stub: TestProcess
  redisUrl: string
}

/** Starts the stub and a process each of `names`, as in production. */
export async function missPaths(
  t: TestContext,
  names: readonly string[],
): Promise<{ list: Path[]; startService(more?: Record<string, string>): Promise<TestProcess> }> {
  const stub = await processForTest(t, 'bench/gemini-stub.ts', { readyPath: '/' })
  const redis = await redisServerForTest(t)
  const behind = { stub, redisUrl: redis.url }
  const list: Path[] = []
  if (names.includes(forwarder)) list.push(await bare(t, 'bench/bare-forwarder.ts', { name: forwarder, stub }))
  if (names.includes(proxy)) list.push(await bare(t, 'bench/bare-proxy.ts', { name: proxy, stub }))
  if (names.includes(portkey)) list.push(await portkeyPath(t, stub))
  const service = await startService(t, behind)
  const env = { ...settings, REDIS_URL: redis.url, TEXT_GENERATION_URL: service.url }
  const gateway = await processForTest(t, 'gateway/src/server.ts', { env })
  list.push({
    name: system,
    does: 'keys’ limits, one quota for all instances, cache in memory and Redis, coalescing, shares of clients, checks of content, metrics, log',
    url: `${gateway.url}/api/create_subtopics`,
    script: 'post-load.lua',
    given: [questionOf('bench')],
    processes: { gateway: pidOf(gateway), service: pidOf(service), redis: pidOf(redis) },
  })
  return { list, startService: (more) => startService(t, behind, more) }
}

/** New topics, the same ones for each path, beginning with a word. */
function questionOf(word: string): string {
  return `{"topic":"${word} %d","language":"en"}`
}

/** A round's questions, which no round before has asked. */
export function ofRound(path: Path, round: number): Path {
  const [body = '', ...headers] = path.given
  return { ...path, given: [body.replace('bench', `bench round ${round}`), ...headers] }
}

function startService(t: TestContext, { stub, redisUrl }: Behind, more = {}): Promise<TestProcess> {
  const env = { ...settings, REDIS_URL: redisUrl, GEMINI_BASE_URL: stub.url, ...more }
  return processForTest(t, 'services/text-generation/src/server.ts', { env, readyPath: '/ready' })
}

async function bare(t: TestContext, file: string, { name, stub }: { name: string; stub: TestProcess }): Promise<Path> {
  const process = await processForTest(t, file, { readyPath: '/', env: { UPSTREAM: stub.url } })
  return {
    name,
    does: 'nothing',
    url: `${process.url}/v1beta/models/stub:generateContent`,
    script: 'post-load.lua',
    given: [questionOf('bench')],
    processes: { proxy: pidOf(process) },
  }
}

async function portkeyPath(t: TestContext, stub: TestProcess): Promise<Path> {
  const process = await processForTest(t, 'bench/portkey.ts', { readyPath: '/' })
  const question = JSON.stringify(`Fifteen subtopics of bench %d`)
  return {
    name: portkey,
    does: 'one API for many providers: translates from OpenAI’s form to Gemini’s and back; cache, retries and guardrails are off',
    url: `${process.url}/v1/chat/completions`,
    script: 'post-load.lua',
    given: [
      `{"model":"stub","messages":[{"role":"user","content":${question}}]}`,
      'x-portkey-provider=google',
      'authorization=Bearer bench-key',
      `x-portkey-custom-host=${stub.url}/v1beta`,
    ],
    processes: { proxy: pidOf(process) },
  }
}
