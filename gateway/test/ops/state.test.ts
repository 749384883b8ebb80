import type { ServiceSnapshot } from '@knowalledge/generation/activity'
import { createQuotaClient, type QuotaUsage } from '@knowalledge/quota-client'
import t from 'tap'
import { type Seen, stateOf, withoutClients } from '../../src/ops/state.ts'

const limits = { rpm: 10, rpd: 100, tpm: 1_000, tpd: 10_000 }

async function usageForTest(changes: Partial<QuotaUsage> = {}): Promise<QuotaUsage> {
  const quota = createQuotaClient({ pool: 'test', limits })
  await quota.reserve({ requests: 4, tokens: 400, priority: 'interactive' })
  const usage = { ...(await quota.usage()), ...changes }
  await quota.close()
  return usage
}

function seen(service: string, changes: Partial<ServiceSnapshot> = {}): Seen {
  const counts = { cache: {}, gemini: [], refused: {} }
  const process = { version: '1', uptimeSeconds: 1, memoryBytes: 1, eventLoopDelayMs: 1 }
  const snapshot = { service, ...process, counts, faults: [], waiting: [], clients: [], ...changes }
  return { service, url: `http://${service}`, snapshot }
}

t.test('of each limit, used and held and free are the whole', async (t) => {
  const free = stateOf([], { gemini: await usageForTest() }).pools[0]
  t.match(free?.limits, [
    { name: 'rpm', limit: 10, used: 4, held: 0, free: 6 },
    { name: 'tpm', limit: 1_000, used: 400, held: 0, free: 600 },
    { name: 'rpd', limit: 100, used: 4, held: 0, free: 96 },
    { name: 'tpd', limit: 10_000, used: 400, held: 0, free: 9_600 },
  ])
  const stopped: Partial<QuotaUsage>[] = [
    { hold: { cause: 'restart', endsInMs: 9_000 } },
    { pause: { limitType: 'rpd', untilMs: 9_000 } },
    { degraded: true, unavailable: 'full' },
  ]
  for (const why of stopped) {
    const pool = stateOf([], { gemini: await usageForTest(why) }).pools[0]
    t.match(pool, why)
    t.match(pool?.limits[0], { used: 4, held: 6, free: 0 }, 'nothing is free while nothing is granted')
  }
})

t.test('a class that waits for a limit that is too small has no start, which JSON can say', async (t) => {
  const never = { length: 1, startsInMs: Number.POSITIVE_INFINITY }
  const usage = await usageForTest({ queue: { interactive: never, batch: never } })
  t.same(stateOf([], { gemini: usage }).pools[0]?.queue.batch, { length: 1, startsInMs: null })
})

t.test('what the instances counted is added up', async (t) => {
  const model = {
    model: 'flash',
    calls: { success: 3, timeout: 1 },
    tokens: 10,
    seconds: 2,
    within: { 1: 3, '+Inf': 4 },
  }
  const counts = { cache: { memory: 1, miss: 2 }, gemini: [model], refused: { rpm: 1 } }
  const client = { client: 'tenant a', questions: 1, failed: 0, geminiCalls: 1, tokens: 5, lastAtMs: 10 }
  const state = stateOf(
    [
      seen('text-generation', { counts, clients: [client, { ...client, client: 'tenant b', tokens: 7 }] }),
      seen('vision', { counts, clients: [{ ...client, lastAtMs: 20 }] }),
      { service: 'image-generation', url: 'http://down', snapshot: undefined },
    ],
    {},
  )
  t.same(state.cache, { memory: 2, miss: 4 })
  t.same(state.refused, { rpm: 2 })
  t.same(state.gemini, [
    { model: 'flash', calls: { success: 6, timeout: 2 }, tokens: 20, seconds: 4, within: { 1: 6, '+Inf': 8 } },
  ])
  t.match(state.clients, [
    { client: 'tenant a', questions: 2, geminiCalls: 2, tokens: 10, lastAtMs: 20 },
    { client: 'tenant b', tokens: 7 },
  ])
  t.match(
    state.instances.map(({ service, isUp }) => [service, isUp]),
    [
      ['text-generation', true],
      ['vision', true],
      ['image-generation', false],
    ],
  )
})

t.test('alike faults of several processes are one row, with the section of the runbook', async (t) => {
  const fault = (message: string, kind: string, atMs: number) => ({
    service: undefined,
    message,
    kind,
    remedy: undefined,
    count: 2,
    atMs,
  })
  const redis = (atMs: number) => fault('redis unavailable, entering degraded mode', 'full', atMs)
  const state = stateOf(
    [
      seen('text-generation', { faults: [redis(10), fault('Gemini call failed', 'rate_limited: 429', 5)] }),
      seen('vision', { faults: [redis(20), fault('something else', '', 1)] }),
    ],
    {},
  )
  t.match(state.faults, [
    { count: 4, atMs: 20, services: ['text-generation', 'vision'], runbook: 'redisnotwritable' },
    { count: 2, runbook: 'upstreamratelimited' },
    { count: 2, runbook: undefined },
  ])
})

t.test('without clients no name of one is left', async (t) => {
  const call = { client: 'tenant a', priority: 'batch' as const, waitedMs: 1, startsInMs: 1, position: 1 }
  const client = { client: 'tenant a', questions: 1, failed: 0, geminiCalls: 1, tokens: 5, lastAtMs: 10 }
  const state = stateOf([seen('text-generation', { waiting: [call], clients: [client] })], {})
  t.equal(state.waiting[0]?.client, 'tenant a')
  const shown = withoutClients(state, true)
  t.notMatch(JSON.stringify(shown), 'tenant a')
  t.match(shown, { waiting: [{ position: 1 }], clients: null, needsToken: true })
})
