import { GeminiError } from '@knowalledge/gemini'
import t from 'tap'
import { answerOf, contextOf, generationForTest, limits, specOf } from './fixtures.ts'

const batch = { priority: 'batch' as const }
const topics = (count: number) => Array.from({ length: count }, (_, n) => `topic ${n}`)

t.test('what is not cached is reserved together, and answers come in order', async (t) => {
  const { generation, quota } = generationForTest(t)
  await generation.run(
    specOf('topic 1', async () => answerOf('cached', 50), batch),
    contextOf(),
  )
  const specs = topics(4).map((topic) => specOf(topic, async () => answerOf(`about ${topic}`, 200), batch))
  const results = await generation.runAll(specs, contextOf())
  t.same(
    results.map((result) => result.status === 'fulfilled' && [result.value.value, result.value.cached]),
    [
      ['about topic 0', false],
      ['cached', true],
      ['about topic 2', false],
      ['about topic 3', false],
    ],
  )
  const usage = await quota.usage()
  t.equal(usage.requests.perMinute.current, 4)
  t.equal(usage.tokens.perMinute.current, 50 + 3 * 200, 'each settled with its own tokens')
})

t.test('all or nothing: when not all fit, none is called and each falls back or says why', async (t) => {
  let now = Date.UTC(2026, 10, 22)
  const { generation } = generationForTest(t, { cache: { clock: () => now } })
  await generation.run(
    specOf('topic 0', async () => answerOf('old'), batch),
    contextOf(),
  )
  now += 3 * 3_600_000
  for (const topic of ['a', 'b', 'c']) {
    await generation.run(
      specOf(topic, async () => answerOf(topic)),
      contextOf(),
    )
  }
  let calls = 0
  const specs = topics(10).map((topic) => specOf(topic, async () => answerOf(++calls), batch))
  const results = await generation.runAll(specs, contextOf())
  t.equal(calls, 0)
  t.match(results[0], { status: 'fulfilled', value: { value: 'old', fromFallback: true } })
  for (const result of results.slice(1)) t.match(result, { status: 'rejected', reason: { code: 'quota_exceeded' } })
})

t.test('explanations may fill a limit to the safety margin, interactive calls to the brim', async (t) => {
  const { generation } = generationForTest(t)
  const twelve = topics(12).map((topic) => specOf(topic, async () => answerOf('x'), batch))
  for (const result of await generation.runAll(twelve, contextOf())) t.equal(result.status, 'fulfilled')
  const [refused] = await generation.runAll([specOf('one more', async () => answerOf('x'), batch)], contextOf())
  t.match(refused, { status: 'rejected', reason: { code: 'quota_exceeded' } })
  for (const topic of ['a', 'b', 'c']) {
    t.match(
      await generation.run(
        specOf(topic, async () => answerOf(topic)),
        contextOf(),
      ),
      { value: topic },
    )
  }
})

t.test('what could never fit is told how many would', async (t) => {
  const { generation } = generationForTest(t)
  const specs = topics(13).map((topic) => specOf(topic, async () => answerOf('x'), batch))
  const results = await generation.runAll(specs, contextOf())
  for (const result of results) {
    t.match(result, {
      status: 'rejected',
      reason: { code: 'presentation_too_large', statusCode: 400, message: /at most 12 fit/ },
    })
  }
  const tokens = generationForTest(t, { quota: { limits: { ...limits, tpm: 10_000 } } })
  const six = topics(6).map((topic) => specOf(topic, async () => answerOf('x'), batch))
  const [first] = await tokens.generation.runAll(six, contextOf())
  t.match(first, { reason: { message: /at most 5 fit the quota \(8000 tokens per minute/ } })
})

t.test('the same subtopic twice is asked once', async (t) => {
  const { generation } = generationForTest(t)
  let calls = 0
  const specs = ['same', 'same'].map((topic) => specOf(topic, async () => answerOf(++calls), batch))
  const results = await generation.runAll(specs, contextOf())
  t.equal(calls, 1)
  for (const result of results) t.match(result, { status: 'fulfilled', value: { value: 1 } })
})

t.test('one that fails leaves the others alone', async (t) => {
  const { generation } = generationForTest(t)
  const specs = topics(3).map((topic, n) =>
    specOf(
      topic,
      async () => {
        if (n === 1) throw new GeminiError('blocked', 'SAFETY')
        return answerOf(topic)
      },
      batch,
    ),
  )
  t.same(
    (await generation.runAll(specs, contextOf())).map((result) => result.status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
})

t.test("a question that waits on another presentation's refusal asks for itself", async (t) => {
  const { generation } = generationForTest(t)
  const large = topics(13).map((topic) => specOf(topic, async () => answerOf('x'), batch))
  const [refused, small] = await Promise.all([
    generation.runAll(large, contextOf()),
    generation.runAll([specOf('topic 0', async () => answerOf('mine'), batch)], contextOf()),
  ])
  t.ok(refused.every((result) => result.status === 'rejected'))
  t.match(small, [{ status: 'fulfilled', value: { value: 'mine' } }])
})
