import { processForTest } from '@knowalledge/testing'
import t from 'tap'
import { openLoop, percentile } from './open-loop.ts'

const delayMs = 100
const inFlight = 16
/** What a gateway that lets 16 in at once can have answered by a service that takes 100 ms. */
const capacityPerSecond = (1000 / delayMs) * inFlight
const overloadSeconds = 4
const possible = capacityPerSecond * overloadSeconds
const isShedding = /^HTTP\/1.1 503 [\s\S]*retry-after: 1\r\n[\s\S]*"error":"overloaded"/
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
      MAX_IN_FLIGHT_PER_ADDRESS: '0',
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

  const probes: number[] = []
  let round = { ratio: Number.NaN, refusedOnANormalDay: Number.NaN, admitted: 0 }
  const isKept = () =>
    round.ratio <= 2 && round.refusedOnANormalDay === 0 && Math.abs(round.admitted / possible - 1) < 0.4
  // The best of three: the machine has other things to do, and a pause of it is a pause of ours.
  for (let rounds = 0; rounds < 3 && !isKept(); rounds++) {
    const normal = await ask(capacityPerSecond / 4, 3)
    const probing = setInterval(async () => {
      for (const probe of ['/health', '/metrics']) probes.push((await fetch(gateway.url + probe)).status)
    }, 200)
    const overload = await ask(10 * capacityPerSecond, overloadSeconds)
    clearInterval(probing)
    for (const { status, text } of overload) if (status !== 200 && !isShedding.test(text)) t.fail(text)
    t.comment(`p99 normal ${p99(normal).toFixed(1)} ms, of those let in under overload ${p99(overload).toFixed(1)} ms`)
    round = {
      ratio: p99(overload) / p99(normal),
      refusedOnANormalDay: normal.filter(({ status }) => status !== 200).length,
      admitted: overload.filter(({ status }) => status === 200).length,
    }
  }
  t.ok(isKept(), `${JSON.stringify(round)}, of ${possible} that were possible`)
  t.ok(probes.length > 4)
  t.same(new Set(probes), new Set([200]))
  t.match(gateway.output(), /overloaded: requests are refused/)
  t.ok(gateway.output().split('\n').length < 100, 'said once a second, not for each request')
})
