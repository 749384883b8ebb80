import { processForTest } from '@knowalledge/testing'
import t from 'tap'
import { openLoop, percentile } from './open-loop.ts'

const delayMs = 100
const inFlight = 16
/** What a gateway that lets 16 in at once can have answered by a service that takes 100 ms. */
const capacityPerSecond = (1000 / delayMs) * inFlight
const path = '/api/subtopics?topic=Light'

t.test('ten times more than it can do: who is let in waits at most twice as long, probes answer', async (t) => {
  const service = await processForTest(t, 'e2e/slow-service.ts', { env: { DELAY_MS: String(delayMs) } })
  const gateway = await processForTest(t, 'gateway/src/server.ts', {
    env: {
      TEXT_GENERATION_URL: service.url,
      UPSTREAM_CHECK_MS: '0',
      REDIS_ENABLED: 'false',
      RATE_LIMIT_PER_MINUTE: '0',
      MAX_IN_FLIGHT: String(inFlight),
      LOG_LEVEL: 'warn',
      DRAIN_MS: '0',
    },
  })
  const ask = (perSecond: number, seconds: number) => openLoop(gateway.url, { path, perSecond, seconds })
  const p99 = (arrivals: { status: number; latencyMs: number }[]) =>
    percentile(
      arrivals.filter(({ status }) => status === 200).map(({ latencyMs }) => latencyMs),
      0.99,
    )

  let best = Number.POSITIVE_INFINITY
  for (let round = 1; round <= 3 && best > 2; round++) {
    const normal = await ask(capacityPerSecond / 2, 3)
    t.same(new Set(normal.map(({ status }) => status)), new Set([200]), 'nobody is refused on a normal day')
    const probes: number[] = []
    const probing = setInterval(async () => {
      for (const probe of ['/health', '/metrics']) probes.push((await fetch(gateway.url + probe)).status)
    }, 200)
    const overload = await ask(10 * capacityPerSecond, 4)
    clearInterval(probing)
    t.comment(`p99 normal ${p99(normal).toFixed(1)} ms, of those let in under overload ${p99(overload).toFixed(1)} ms`)
    best = Math.min(best, p99(overload) / p99(normal))

    const refused = overload.filter(({ status }) => status !== 200)
    for (const { text } of refused)
      if (!/^HTTP\/1.1 503 [\s\S]*retry-after: 1\r\n[\s\S]*"error":"overloaded"/.test(text)) t.fail(text)
    const admitted = overload.length - refused.length
    t.ok(admitted > 0.7 * 4 * capacityPerSecond, `${admitted} let in: it does what it can`)
    t.ok(admitted < 1.3 * 4 * capacityPerSecond, 'and no more')
    t.ok(probes.length > 4)
    t.same(new Set(probes), new Set([200]))
  }
  t.ok(best <= 2, `${best.toFixed(2)} times the normal p99`)
  t.match(gateway.output(), /overloaded: requests are refused/)
  t.ok(gateway.output().split('\n').length < 100, 'said once a second, not for each request')
})
