import { GeminiError } from '@knowalledge/gemini'
import { HttpError } from '@knowalledge/service-kit'
import t from 'tap'
import { createGeneration, UnusableAnswer } from '../src/index.ts'
import { answerOf, contextOf, generationForTest, limits, specOf } from './fixtures.ts'

const unavailable = (details = {}) => new GeminiError('unavailable', 'fetch failed', { retryable: true, ...details })

t.test('a new question costs one request and the tokens really used; the same again costs nothing', async (t) => {
  const { generation, quota } = generationForTest(t)
  let calls = 0
  const spec = specOf('Light', async () => answerOf(`answer ${++calls}`, 321))
  t.same(await generation.run(spec, contextOf()), {
    value: 'answer 1',
    model: 'model',
    layer: 'miss',
    cached: false,
    fromFallback: false,
  })
  const same = specOf('  Light\n', spec.call)
  t.same(await generation.run(same, contextOf()), {
    value: 'answer 1',
    model: 'model',
    layer: 'memory',
    cached: true,
    fromFallback: false,
  })
  const usage = await quota.usage()
  t.equal(usage.requests.perMinute.current, 1)
  t.equal(usage.tokens.perMinute.current, 321)
})

t.test('identical questions at the same time make one call', async (t) => {
  const { generation, quota } = generationForTest(t)
  const gate = Promise.withResolvers<void>()
  let calls = 0
  const spec = specOf('Light', async () => {
    calls++
    await gate.promise
    return answerOf('answer')
  })
  const answers = Array.from({ length: 50 }, () => generation.run(spec, contextOf()))
  gate.resolve()
  for (const answer of await Promise.all(answers)) t.equal(answer.value, 'answer')
  t.equal(calls, 1)
  t.equal((await quota.usage()).requests.perMinute.current, 1)
})

t.test('the sixteenth new question in a minute is refused in the contract’s shape, without a call', async (t) => {
  const { generation } = generationForTest(t)
  let calls = 0
  const ask = (topic: string) =>
    generation.run(
      specOf(topic, async () => answerOf(++calls)),
      contextOf(),
    )
  for (let n = 1; n <= limits.rpm; n++) await ask(`topic ${n}`)
  const error = (await t.rejects(ask('one more'))) as unknown as HttpError
  t.ok(error instanceof HttpError)
  t.match(error, { code: 'quota_exceeded', statusCode: 429, message: 'RPM limit exceeded (15 per minute)' })
  t.equal(error.fields.limit_type, 'rpm')
  t.equal(error.fields.retry_after, `${error.retryAfterSeconds} seconds`)
  t.equal(calls, limits.rpm)
  t.match(await ask('topic 1'), { cached: true })
})

t.test('after retry_after, waited out with nobody else asking, a new question is admitted', async (t) => {
  let now = Date.UTC(2026, 10, 22)
  const { generation } = generationForTest(t, { runtime: { monotonicMs: () => now, wallMs: () => now } })
  const ask = (topic: string) =>
    generation.run(
      specOf(topic, async () => answerOf(topic)),
      contextOf(),
    )
  for (let n = 1; n <= limits.rpm; n++) await ask(`topic ${n}`)
  const refused = (await t.rejects(ask('new'))) as unknown as HttpError
  now += (refused.retryAfterSeconds ?? 0) * 1000
  t.match(await ask('new'), { value: 'new' })
})

t.test('a refused or failed question is answered by a stale copy that says so', async (t) => {
  let now = Date.UTC(2026, 10, 22)
  const clock = () => now
  const { generation } = generationForTest(t, { cache: { clock }, quota: { limits: { ...limits, rpm: 1 } } })
  const spec = specOf('Light', async () => answerOf('old'))
  await generation.run(spec, contextOf())
  now += 3 * 3_600_000
  t.same(await generation.run(spec, contextOf()), {
    value: 'old',
    model: 'model',
    layer: 'fallback',
    cached: true,
    fromFallback: true,
  })
  now += 22 * 3_600_000
  await t.rejects(generation.run(spec, contextOf()), { code: 'quota_exceeded' }, 'a copy older than a day is no answer')
})

t.test('5xx are tried again twice, each try with a reservation of its own', async (t) => {
  const { generation, quota } = generationForTest(t)
  let calls = 0
  const flaky = specOf('Light', async () => {
    if (++calls < 3) throw unavailable()
    return answerOf('third time')
  })
  t.match(await generation.run(flaky, contextOf()), { value: 'third time' })
  t.equal((await quota.usage()).requests.perMinute.current, 3)

  calls = 0
  const dead = specOf('Dark', async () => {
    calls++
    throw unavailable()
  })
  await t.rejects(generation.run(dead, contextOf()), { code: 'gemini_unavailable', statusCode: 503 })
  t.equal(calls, 3)
})

t.test('a retry that the quota refuses leaves the failure as it was', async (t) => {
  const { generation } = generationForTest(t, { quota: { limits: { ...limits, rpm: 1 } } })
  const spec = specOf('Light', async () => {
    throw unavailable()
  })
  await t.rejects(generation.run(spec, contextOf()), { code: 'gemini_unavailable' })
})

t.test('a call that never reached Gemini is given back; one of unknown cost stays charged', async (t) => {
  const { generation, quota } = generationForTest(t)
  const refused = specOf('Light', async () => {
    throw new GeminiError('unavailable', 'refused', { reachedGemini: false })
  })
  await t.rejects(generation.run(refused, contextOf()), { code: 'gemini_unavailable' })
  t.match(await quota.usage(), { requests: { perMinute: { current: 0 } }, tokens: { perMinute: { current: 0 } } })
  const unknown = specOf('Dark', async () => {
    throw new GeminiError('malformed', 'no json')
  })
  await t.rejects(generation.run(unknown, contextOf()), { code: 'gemini_bad_answer', statusCode: 502 })
  t.match(await quota.usage(), { requests: { perMinute: { current: 1 } }, tokens: { perMinute: { current: 1_500 } } })
})

t.test('an answer whose tokens Google did not count stays charged with its estimate', async (t) => {
  const { generation, quota } = generationForTest(t)
  await generation.run(
    specOf('Light', async () => ({
      value: 'x',
      usage: { promptTokens: 0, outputTokens: 0, totalTokens: 0 },
      modelVersion: 'imagen',
    })),
    contextOf(),
  )
  t.equal((await quota.usage()).tokens.perMinute.current, 1_500)
})

t.test('a 429 of Gemini pauses the fleet: by day until the day ends, by minute for its delay', async (t) => {
  const rateLimited = (pause: object) =>
    specOf('Light', async () => {
      throw new GeminiError('rate_limited', '429', {
        pause: { limitType: 'rpm', untilDayEnds: false, terminal: false, ...pause },
      })
    })
  const minute = generationForTest(t)
  const error = (await t.rejects(
    minute.generation.run(rateLimited({ delayMs: 34_000 }), contextOf()),
  )) as unknown as HttpError
  t.match(error, { code: 'quota_exceeded', statusCode: 429, retryAfterSeconds: 34 })
  let called = false
  const next = specOf('Other', async () => {
    called = true
    return answerOf('x')
  })
  await t.rejects(minute.generation.run(next, contextOf()), { code: 'quota_exceeded' })
  t.notOk(called, 'nobody asks during the pause')

  const day = generationForTest(t)
  await t.rejects(
    day.generation.run(rateLimited({ limitType: 'rpd', delayMs: 1_000, untilDayEnds: true }), contextOf()),
  )
  const usage = await day.quota.usage()
  const pausedMs = (usage.pause?.untilMs ?? 0) - Date.now()
  t.ok(Math.abs(pausedMs - usage.requests.perDay.resetsInMs) < 5_000, 'until the day ends')

  const terminal = generationForTest(t)
  await t.rejects(terminal.generation.run(rateLimited({ terminal: true }), contextOf()), {
    code: 'gemini_not_configured',
    statusCode: 503,
  })
})

t.test('each kind of failure has its own error', async (t) => {
  const table = [
    ['not_configured', 'gemini_not_configured', 503],
    ['rejected', 'gemini_bad_answer', 502],
    ['not_found', 'gemini_bad_answer', 502],
    ['blocked', 'content_blocked', 422],
    ['malformed', 'gemini_bad_answer', 502],
    ['cut_off', 'gemini_bad_answer', 502],
    ['timeout', 'timeout', 504],
  ] as const
  for (const [kind, code, statusCode] of table) {
    const { generation } = generationForTest(t)
    const spec = specOf('Light', async () => {
      throw new GeminiError(kind, 'secret detail')
    })
    const error = (await t.rejects(generation.run(spec, contextOf()), { code, statusCode })) as unknown as HttpError
    t.notMatch(error.message, 'secret')
  }
})

t.test('blocked content has no stale fallback: the question itself was refused', async (t) => {
  let now = Date.UTC(2026, 10, 22)
  const { generation } = generationForTest(t, { cache: { clock: () => now } })
  await generation.run(
    specOf('Light', async () => answerOf('old')),
    contextOf(),
  )
  now += 3 * 3_600_000
  const blocked = specOf('Light', async () => {
    throw new GeminiError('blocked', 'SAFETY')
  })
  await t.rejects(generation.run(blocked, contextOf()), { code: 'content_blocked' })
})

t.test('a call that hangs is given up at the deadline with a 504', async (t) => {
  const { generation } = generationForTest(t, { timeoutMs: 50 })
  const keepAlive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(keepAlive))
  const hanging = specOf('Light', ({ signal }) => {
    const { promise, reject } = Promise.withResolvers<never>()
    signal.addEventListener('abort', () => reject(new GeminiError('timeout', 'late')))
    return promise
  })
  await t.rejects(generation.run(hanging, contextOf()), { code: 'timeout', statusCode: 504 })
})

t.test('an answer that failed its check is shown but not cached', async (t) => {
  const { generation } = generationForTest(t)
  let calls = 0
  const spec = specOf('Light', async () => answerOf(`answer ${++calls}`), {
    accept: (raw) => ({ value: raw as string, passed: false }),
  })
  t.match(await generation.run(spec, contextOf()), { value: 'answer 1', cached: false })
  t.match(await generation.run(spec, contextOf()), { value: 'answer 2', cached: false })
})

t.test('askAgain: a failed check is asked for once more, then it is an error', async (t) => {
  const { generation, quota } = generationForTest(t)
  let calls = 0
  const better = specOf('Light', async () => answerOf(++calls), {
    askAgain: true,
    accept: (raw) => ({ value: String(raw), passed: raw === 2 }),
  })
  t.match(await generation.run(better, contextOf()), { value: '2' })
  t.equal((await quota.usage()).requests.perMinute.current, 2)

  calls = 0
  const hopeless = specOf('Dark', async () => answerOf(++calls), {
    askAgain: true,
    accept() {
      throw new UnusableAnswer('no')
    },
  })
  await t.rejects(generation.run(hopeless, contextOf()), { code: 'gemini_bad_answer', statusCode: 502 })
  t.equal(calls, 2)
})

t.test(
  'a client that goes away does not cancel a call that others wait for; with nobody left it is cancelled',
  async (t) => {
    const { generation } = generationForTest(t)
    const started = Promise.withResolvers<AbortSignal>()
    const gate = Promise.withResolvers<void>()
    const spec = specOf('Light', async ({ signal }) => {
      started.resolve(signal)
      await Promise.race([
        gate.promise,
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      ])
      return answerOf('answer')
    })
    const first = new AbortController()
    const leaving = generation.run(spec, contextOf(first.signal))
    const staying = generation.run(spec, contextOf())
    const signal = await started.promise
    first.abort(new DOMException('gone', 'AbortError'))
    await t.rejects(leaving, { code: 'timeout' })
    t.notOk(signal.aborted)
    gate.resolve()
    t.match(await staying, { value: 'answer' })

    const alone = new AbortController()
    const startedAlone = Promise.withResolvers<AbortSignal>()
    const abandoned = generation.run(
      specOf('Dark', ({ signal }) => {
        startedAlone.resolve(signal)
        return new Promise((_, reject) =>
          signal.addEventListener('abort', () => reject(new GeminiError('cancelled', 'gone'))),
        )
      }),
      contextOf(alone.signal),
    )
    const aloneSignal = await startedAlone.promise
    alone.abort(new DOMException('gone', 'AbortError'))
    await t.rejects(abandoned)
    t.ok(aloneSignal.aborted)
  },
)

t.test('the outcome tells the log line what was spent, and nothing for an answer that cost nothing', async (t) => {
  const { generation } = generationForTest(t, { quota: { limits: { ...limits, rpm: 3 } } })
  let calls = 0
  const spec = specOf('Light', async () => {
    if (++calls === 1) throw unavailable()
    return answerOf('x', 321)
  })
  const first = contextOf()
  await generation.run(spec, first)
  t.same(first.outcome, { quota: 'granted', gemini_calls: 2, tokens: 321, model: 'model-001' })
  const second = contextOf()
  await generation.run(spec, second)
  t.same(second.outcome, {})
  await generation.run(
    specOf('Sound', async () => answerOf('x')),
    contextOf(),
  )
  const refused = contextOf()
  await t.rejects(generation.run(specOf('Heat', spec.call), refused))
  t.same(refused.outcome, { quota: 'refused' })
})

t.test('what is reserved learns from what is used, unless told not to', async (t) => {
  for (const adaptiveEstimates of [true, false]) {
    const { quota, cache, metrics } = generationForTest(t)
    const learning = createGeneration({
      poolOf: () => ({ quota }),
      cache,
      metrics,
      timeoutMs: 5_000,
      adaptiveEstimates,
    })
    const ask = (topic: string) =>
      learning.run(
        specOf(topic, async () => answerOf(topic, 400)),
        contextOf(),
      )
    for (let n = 0; n < 10; n++) await ask(`topic ${n}`)
    const settled = (await quota.usage()).tokens.perMinute.current
    const lost = specOf('lost', async () => {
      throw new GeminiError('malformed', 'of unknown cost: the estimate stays charged')
    })
    await t.rejects(learning.run(lost, contextOf()))
    const reserved = (await quota.usage()).tokens.perMinute.current - settled
    t.equal(settled, 10 * 400)
    if (adaptiveEstimates) t.ok(reserved < 1_000, `${reserved} tokens, on the way from 1,500 to 400`)
    else t.equal(reserved, 1_500)
  }
})

t.test('what the check of an answer found is in the metrics, for an unusable answer too', async (t) => {
  const { generation, metrics } = generationForTest(t)
  const quality = { content: 'subtopics', score: 0.5, issues: [{ type: 'too_few' }] } as const
  const usable = specOf('Light', async () => answerOf('x'), {
    accept: () => ({ value: 'x', passed: true, quality: { ...quality, generated: 7 } }),
  })
  const unusable = specOf('Dark', async () => answerOf('x'), {
    accept() {
      throw new UnusableAnswer('none can be shown', quality)
    },
  })
  await generation.run(usable, contextOf())
  await t.rejects(generation.run(unusable, contextOf()))
  const text = await metrics.registry.metrics()
  t.match(text, /^subtopics_generated_total 7$/m)
  t.match(text, /^validation_failures_total\{validator="subtopics",issue_type="too_few"\} 2$/m)
  t.match(text, /^content_quality_score_count\{content_type="subtopics"\} 2$/m)
})
