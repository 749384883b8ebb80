import t from 'tap'
import type { QuotaGauges } from '../src/index.ts'
import { build, samples } from './build.ts'

const usage: QuotaGauges = {
  requests: {
    perMinute: { current: 3, limit: 15, remaining: 12 },
    perDay: { current: 100, limit: 1500, remaining: 1400 },
  },
  tokens: {
    perMinute: { current: 4500, limit: 1_000_000, remaining: 995_500 },
    perDay: { current: 90_000, limit: 50_000_000, remaining: 49_910_000 },
  },
  hold: null,
  pause: null,
  heldMs: { empty: 0, restart: 0, clock: 0, configuration: 0 },
  degraded: false,
  queue: { interactive: { length: 0 }, batch: { length: 0 } },
}

const figures = {
  quota_requests_current_minute: 3,
  quota_requests_today: 100,
  quota_tokens_current_minute: 4500,
  quota_tokens_today: 90_000,
  quota_rpm_remaining: 12,
  quota_rpd_remaining: 1400,
  quota_tpm_remaining: 995_500,
  quota_tpd_remaining: 49_910_000,
  quota_rpm_limit: 15,
  quota_rpd_limit: 1500,
  quota_tpm_limit: 1_000_000,
  quota_tpd_limit: 50_000_000,
  quota_hold_seconds: 0,
}

const gauges = (exposition: string): Record<string, number> =>
  Object.fromEntries([...samples(exposition)].filter(([name]) => name.startsWith('quota_') && !name.includes('{')))

t.test('shows all twelve figures of the shared quota, read once per scrape', async (t) => {
  let reads = 0
  const { scrape } = await build(t, {
    quota: async () => {
      reads += 1
      return usage
    },
  })
  t.same(gauges(await scrape()), { ...figures, quota_degraded: 0 })
  t.equal(reads, 1)
  await scrape()
  t.equal(reads, 2)
})

t.test('shows how long a hold lasts, and counts the seconds of all holds by cause, each once', async (t) => {
  let held = { empty: 62_500, restart: 0 }
  const { scrape } = await build(t, {
    quota: async () => ({ ...usage, hold: { endsInMs: 12_500 }, heldMs: held }),
  })
  const seen = async () => samples(await scrape())
  t.equal((await seen()).get('quota_hold_seconds'), 12.5)
  t.equal((await seen()).get('quota_hold_seconds_total{cause="empty"}'), 62.5)
  held = { empty: 62_500, restart: 10_000 }
  const last = await seen()
  t.equal(last.get('quota_hold_seconds_total{cause="empty"}'), 62.5)
  t.equal(last.get('quota_hold_seconds_total{cause="restart"}'), 10)
})

t.test('shows how many calls wait in line', async (t) => {
  let queue = { interactive: { length: 2 }, batch: { length: 7 } }
  const { scrape } = await build(t, { quota: async () => ({ ...usage, queue }) })
  const lengths = async () => {
    const seen = samples(await scrape())
    return ['interactive', 'batch'].map((priority) => seen.get(`quota_queue_length{priority="${priority}"}`))
  }
  t.same(await lengths(), [2, 7])
  queue = usage.queue
  t.same(await lengths(), [0, 0])
})

t.test('says degraded when the quota client does', async (t) => {
  const { scrape } = await build(t, { quota: async () => ({ ...usage, degraded: true }) })
  t.same(gauges(await scrape()), { ...figures, quota_degraded: 1 })
})

t.test('without a quota there are no quota gauges at all', async (t) => {
  const { scrape } = await build(t)
  t.same(gauges(await scrape()), {})
})

t.test('a failed read keeps the last known figures and says degraded, then recovers', async (t) => {
  let quota: () => Promise<QuotaGauges> = async () => {
    throw new Error('Redis is away')
  }
  const { scrape } = await build(t, { quota: () => quota() })
  t.same(gauges(await scrape()), { quota_degraded: 1 }, 'nothing known yet: no figures rather than zeros')
  quota = async () => usage
  t.same(gauges(await scrape()), { ...figures, quota_degraded: 0 })
  quota = () => {
    throw new Error('thrown before the promise')
  }
  t.same(gauges(await scrape()), { ...figures, quota_degraded: 1 })
  quota = async () => usage
  t.same(gauges(await scrape()), { ...figures, quota_degraded: 0 })
})

t.test('a scrape does not wait for a quota that hangs', async (t) => {
  const { scrape } = await build(t, { quota: () => new Promise(() => {}) })
  const startMs = performance.now()
  t.same(gauges(await scrape()), { quota_degraded: 1 })
  t.ok(performance.now() - startMs < 1000, 'the promise is 20 ms; the rest is room for a loaded machine')
})

t.test('an answer that came too late is the last known one for the next scrape', async (t) => {
  const slow = Promise.withResolvers<QuotaGauges>()
  let answer: Promise<QuotaGauges> = slow.promise
  const { scrape } = await build(t, { quota: () => answer })
  t.same(gauges(await scrape()), { quota_degraded: 1 })
  slow.resolve(usage)
  answer = new Promise(() => {})
  t.same(gauges(await scrape()), { ...figures, quota_degraded: 1 })
})

t.test('a reading that takes longer than a scrape does not say that Redis takes no writes', async (t) => {
  let answer: Promise<QuotaGauges> = Promise.resolve(usage)
  const { scrape } = await build(t, { quota: () => answer, redisCircuit: () => 'closed' })
  await scrape()
  answer = new Promise(() => {})
  t.equal(samples(await scrape()).get('redis_writable{store="quota"}'), 1)
})

t.test('an old answer never replaces a newer one', async (t) => {
  const slow = Promise.withResolvers<QuotaGauges>()
  let answer: Promise<QuotaGauges> = slow.promise
  const { scrape } = await build(t, { quota: () => answer })
  await scrape()
  answer = Promise.resolve(usage)
  await scrape()
  slow.resolve({ ...usage, requests: usage.tokens })
  answer = Promise.reject(new Error('away'))
  t.same(gauges(await scrape()), { ...figures, quota_degraded: 1 })
})

t.test('says whether Redis takes writes, where there is a Redis', async (t) => {
  let degraded = false
  const quota = async () => ({ ...usage, degraded })
  const { scrape } = await build(t, { quota, redisCircuit: () => 'closed' })
  t.equal(samples(await scrape()).get('redis_writable{store="quota"}'), 1)
  degraded = true
  t.equal(samples(await scrape()).get('redis_writable{store="quota"}'), 0)
  t.notOk((await (await build(t, { quota })).scrape()).includes('redis_writable{'))
})

t.test('says whether the Redis of the cache takes writes, apart from that of the quota', async (t) => {
  let isWritable = true
  const options = { quota: async () => usage, redisCircuit: () => 'closed' as const }
  const { scrape } = await build(t, { ...options, isCacheWritable: () => isWritable })
  const shown = async () => {
    const found = samples(await scrape())
    return ['quota', 'cache'].map((store) => found.get(`redis_writable{store="${store}"}`))
  }
  t.same(await shown(), [1, 1])
  isWritable = false
  t.same(await shown(), [1, 0])
})

t.test('the circuit over Redis is open while the quota is degraded or another client is degraded', async (t) => {
  let degraded = false
  let others: 'closed' | 'open' = 'closed'
  const { scrape } = await build(t, { quota: async () => ({ ...usage, degraded }), redisCircuit: () => others })
  const circuit = async () => samples(await scrape()).get('circuit_breaker_state{service="redis"}')
  t.equal(await circuit(), 0)
  degraded = true
  t.equal(await circuit(), 2)
  degraded = false
  t.equal(await circuit(), 0)
  others = 'open'
  t.equal(await circuit(), 2)
})

t.test('without Redis there is no circuit to show', async (t) => {
  const { scrape } = await build(t, { quota: async () => usage })
  t.notMatch(await scrape(), 'circuit_breaker_state{')
})

t.test('shows each pool under its name, and the first one without a name as well', async (t) => {
  const other: QuotaGauges = {
    ...usage,
    requests: { ...usage.requests, perDay: { current: 3_000, limit: 3_000, remaining: 0 } },
    hold: { endsInMs: 2_500 },
    pause: { untilMs: Date.now() + 3_600_000 },
    queue: { interactive: { length: 4 }, batch: { length: 1 } },
  }
  const quotaPools = [
    { name: 'best', usage: async () => usage },
    { name: 'lite', usage: async () => other },
  ]
  const { scrape } = await build(t, { quotaPools })
  const seen = samples(await scrape())
  for (const [name, figure] of Object.entries(figures)) {
    t.equal(seen.get(name), figure)
    t.equal(seen.get(`${name.replace('quota_', 'quota_pool_')}{pool="best"}`), figure)
  }
  t.equal(seen.get('quota_pool_requests_today{pool="lite"}'), 3_000)
  t.equal(seen.get('quota_pool_rpd_remaining{pool="lite"}'), 0)
  t.equal(seen.get('quota_pool_hold_seconds{pool="lite"}'), 2.5)
  t.equal(seen.get('quota_pool_pause_seconds{pool="best"}'), 0)
  t.ok(Number(seen.get('quota_pool_pause_seconds{pool="lite"}')) > 3_500)
  t.equal(seen.get('quota_pool_queue_length{pool="lite",priority="interactive"}'), 4)
})

t.test('a pool that cannot be read hides none of the others', async (t) => {
  const quotaPools = [
    { name: 'best', usage: () => Promise.reject(new Error('no')) },
    { name: 'lite', usage: async () => usage },
  ]
  const { scrape } = await build(t, { quotaPools })
  const seen = samples(await scrape())
  t.equal(seen.get('quota_degraded'), 1)
  t.equal(seen.get('quota_pool_rpm_limit{pool="lite"}'), 15)
})
