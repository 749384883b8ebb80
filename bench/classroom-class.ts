import { setTimeout as sleep } from 'node:timers/promises'
import { type CallOptions, type Client, createClient, KnowAllEdgeError } from '@knowalledge/client'
import { processForTest, redisServerForTest, type TestContext } from '@knowalledge/testing'

/** A minute takes a fifth of a minute, and so does all that is counted in minutes. */
export const windowMs = 12_000
export const scale = 60_000 / windowMs
export const rpm = 15
export const learners = 30
export const explanations = 4
export const latencyMs = 100
/** Of a minute of 60 s. */
export const maxStreamWaitSeconds = 900
const lateLearnersPerWindow = 3
/** What this machine adds on the way to Gemini is not scaled with the window, so the emulator's is shorter by it. */
const delayMs = 1_000

const env = {
  LOG_LEVEL: 'warn',
  QUOTA_RPM: String(rpm),
  QUOTA_WINDOW_MS: String(windowMs),
  QUOTA_TRANSIT_MS: String(500 / scale),
  QUOTA_NEW_POOL: 'open',
  MAX_STREAM_WAIT_SECONDS: String(maxStreamWaitSeconds / scale),
  EMULATOR_RPM: String(rpm),
  EMULATOR_WINDOW_MS: String(windowMs - delayMs),
  EMULATOR_LATENCY_MS: String(latencyMs),
  GEMINI_API_KEY: 'bench-key',
  RATE_LIMIT_PER_MINUTE: '0',
  MAX_EVENT_LOOP_DELAY_MS: '0',
}

/** How a learner gets answers: by events, or by asking again after Retry-After. */
export type Manner = 'events' | 'retry'

/** Milliseconds since the class began, per learner; of late learners, from request to answer. */
export interface ClassResult {
  subtopicsMs: number[]
  firstMs: number[]
  doneMs: number[]
  lateMs: number[]
  refusals: number
  /** Calls that Gemini got until the last of the class had its last answer, and those that it refused. */
  calls: number
  refusedByGemini: number
}

/** Plays one class against processes of its own: a gateway, two instances of text-generation, Redis, the emulator. */
export async function playClass(t: TestContext, manner: Manner): Promise<ClassResult> {
  const { url, counters } = await startFleet(t)
  const browsers = async (count: number) => await Promise.all(Array.from({ length: count }, () => browser(url)))
  const people = await browsers(learners)
  const late = await browsers(100)
  const result = { subtopicsMs: [], firstMs: [], doneMs: [], lateMs: [], refusals: 0, calls: 0, refusedByGemini: 0 }
  const call = { maxRetryWaitMs: Infinity, onRetry: () => void result.refusals++ }
  const play: Play = { ask: asks[manner], call, result, startMs: performance.now() }
  const over = new AbortController()
  const coming = comeLate(late, play, over.signal)
  await Promise.all(people.map((client, n) => learn(client, `Topic ${n}`, play)))
  const { admitted, refused } = await counters()
  over.abort()
  await coming
  return Object.assign(result, { calls: admitted, refusedByGemini: refused.rpm })
}

interface Play {
  ask: Ask
  call: CallOptions
  result: ClassResult
  startMs: number
}

async function learn(client: Client, topic: string, { ask, call, result, startMs }: Play): Promise<void> {
  const sinceStart = () => performance.now() - startMs
  const subtopics = await untilAnswered(() => ask.subtopics(client, topic, call), call)
  const focus = subtopics.slice(0, explanations)
  result.subtopicsMs.push(sinceStart())
  let first: number | undefined
  const onItem = () => {
    first ??= sinceStart()
  }
  const question = { topic, focus }
  const failed = await untilAnswered(() => ask.explanations(client, question, { ...call, onItem }), call)
  result.refusals += failed
  result.firstMs.push(first ?? sinceStart())
  result.doneMs.push(sinceStart())
}

/** They come from the third window on: before, the class's own first calls take all that there is. */
async function comeLate(late: Client[], { ask, call, result, startMs }: Play, over: AbortSignal): Promise<void> {
  const answers: Promise<unknown>[] = []
  let atMs = startMs + 2 * windowMs
  for (const [n, client] of late.entries()) {
    atMs -= (Math.log(1 - Math.random()) * windowMs) / lateLearnersPerWindow
    await sleep(Math.max(0, atMs - performance.now()), undefined, { signal: over }).catch(() => {})
    if (over.aborted) break
    const askedMs = performance.now()
    const answer = untilAnswered(() => ask.subtopics(client, `Late ${n}`, call), call).then(() =>
      result.lateMs.push(performance.now() - askedMs),
    )
    answer.catch(() => {}) // thrown below
    answers.push(answer)
  }
  await Promise.all(answers)
}

/** The client retries requests that are refused with a status; this retries those that are refused within a stream. */
async function untilAnswered<T>(ask: () => Promise<T>, { onRetry }: CallOptions): Promise<T> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof KnowAllEdgeError) || error.retryAfterMs === undefined) throw error
      onRetry?.({ error, waitMs: error.retryAfterMs })
      await sleep(error.retryAfterMs)
    }
  }
}

interface Ask {
  subtopics(client: Client, topic: string, call: CallOptions): Promise<string[]>
  /** How many of them failed. */
  explanations(
    client: Client,
    question: { topic: string; focus: string[] },
    call: CallOptions & { onItem: () => void },
  ): Promise<number>
}

const level = { educationLevel: 'high school', levelOfDetail: 'normal' }

const asks: Record<Manner, Ask> = {
  events: {
    async subtopics(client, topic, call) {
      for await (const { event, data } of client.stream('create_subtopics', { topic }, call))
        if (event === 'result') return data.subtopics
      throw new Error('a stream without a result')
    },
    async explanations(client, question, { onItem, ...call }) {
      let failed = 0
      for await (const { event, data } of client.stream('create_presentation', { ...question, ...level }, call)) {
        if (event === 'item') onItem()
        if (event === 'done') failed = data.failed_count
      }
      return failed
    },
  },
  retry: {
    subtopics: async (client, topic, call) => (await client.createSubtopics({ topic }, call)).subtopics,
    async explanations(client, question, { onItem, ...call }) {
      const { failed_count } = await client.createPresentation({ ...question, ...level }, call)
      onItem()
      return failed_count
    },
  },
}

/** A client with the cookie by which the gateway tells browsers apart. It sets one on any POST of a page. */
async function browser(url: string): Promise<Client> {
  const origin = url
  const reply = await fetch(`${url}/api/create_subtopics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin },
    body: '{}',
  })
  await reply.text()
  const cookie = reply.headers.get('set-cookie')?.split(';')[0]
  if (cookie === undefined) throw new Error(`no cookie: ${reply.status}`)
  return createClient({
    baseUrl: url,
    fetch: (input, init) => fetch(input, { ...init, headers: { ...(init?.headers as object), cookie, origin } }),
  })
}

async function startFleet(t: TestContext) {
  const redis = await redisServerForTest(t)
  const emulator = await processForTest(t, 'packages/gemini-emulator/src/server.ts', {
    readyPath: '/emulator/counters',
    env,
  })
  const shared = { ...env, REDIS_URL: redis.url, GEMINI_BASE_URL: emulator.url }
  const services = await Promise.all(
    [1, 2].map(() => processForTest(t, 'services/text-generation/src/server.ts', { env: shared, readyPath: '/ready' })),
  )
  const urls = services.map(({ url }) => url)
  const gateway = await processForTest(t, 'gateway/src/server.ts', {
    env: { ...shared, TEXT_GENERATION_URL: urls.join(','), UPSTREAM_CHECK_MS: '5000' }, // there is nobody behind two of its routes
  })
  await Promise.all(urls.map(untilServing))
  const counters = async () =>
    (await (await fetch(`${emulator.url}/emulator/counters`)).json()) as { admitted: number; refused: { rpm: number } }
  return { url: gateway.url, counters }
}

/** For its first two heartbeats an instance grants nothing. */
async function untilServing(url: string): Promise<void> {
  for (;;) {
    const { checks } = (await (await fetch(`${url}/ready`)).json()) as { checks: { quota: { status: string } } }
    if (checks.quota.status !== 'joining') return
    await sleep(50)
  }
}
