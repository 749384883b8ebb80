import { GeminiError } from '@knowalledge/gemini'
import { createQuotaClient } from '@knowalledge/quota-client'
import t from 'tap'
import { Activity } from '../src/activity.ts'
import { answerOf, contextOf, generationForTest, limits, specOf } from './fixtures.ts'

const client = (id: string) => ({ ...contextOf(), client: { id } })

t.test('counts what each client asked, used and was refused; an answer from the cache costs nothing', async (t) => {
  const activity = new Activity()
  const generation = activity.countUse(generationForTest(t).generation)
  const ask = specOf('light', async () => answerOf('text', 70))
  await generation.run(ask, client('tenant a'))
  await generation.run(ask, client('tenant b'))
  const fails = specOf('sound', async () => {
    throw new GeminiError('blocked', 'no', { reachedGemini: true })
  })
  await t.rejects(generation.run(fails, client('tenant b')))
  await generation.runAll([specOf('heat', async () => answerOf('text', 30)), fails], client('tenant c'))
  t.match(activity.snapshot().clients, [
    { client: 'tenant a', questions: 1, failed: 0, geminiCalls: 1, tokens: 70 },
    { client: 'tenant c', questions: 2, failed: 1, geminiCalls: 2, tokens: 30 },
    { client: 'tenant b', questions: 2, failed: 1, geminiCalls: 1, tokens: 0 },
  ])
})

t.test('calls in line are seen for as long as they wait', async (t) => {
  const activity = new Activity()
  const quota = activity.watchLine(createQuotaClient({ pool: 'test', limits: { ...limits, rpm: 1 } }))
  const alive = setInterval(() => {}, 1_000) // the quota's timers keep no process alive
  t.teardown(() => {
    clearInterval(alive)
    return quota.close()
  })
  const leaving = new AbortController()
  const request = {
    requests: 1,
    tokens: 1,
    priority: 'interactive',
    client: 'tenant a',
    signal: leaving.signal,
  } as const
  await quota.reserve({ ...request, maxWaitMs: 1_000 })
  t.same(activity.snapshot().waiting, [], 'a call that starts at once does not wait')
  const { promise: isInLine, resolve: onWaiting } = Promise.withResolvers<unknown>()
  const waits = quota.reserve({ ...request, maxWaitMs: 100_000, onWaiting })
  await isInLine
  t.match(activity.snapshot().waiting, [
    { client: 'tenant a', priority: 'interactive', startsInMs: Number, position: 1 },
  ])
  leaving.abort(new Error('left'))
  await t.rejects(waits, { message: 'left' })
  t.same(activity.snapshot().waiting, [])
})

t.test('of very many clients the ones that asked last are kept', async (t) => {
  const activity = new Activity()
  const generation = activity.countUse({
    run: async () => ({
      value: undefined as never,
      layer: 'memory',
      model: 'model',
      cached: true,
      fromFallback: false,
    }),
    runAll: async () => [],
  })
  const ask = specOf('light', async () => answerOf('text'))
  for (let n = 0; n < 600; n++) {
    await generation.run(ask, client(`client ${n}`))
    await generation.run(ask, client('steady'))
  }
  const { clients } = activity.snapshot()
  t.equal(clients.length, 20)
  t.match(clients[0], { client: 'steady', questions: 600 })
  t.notOk(clients.some(({ client }) => client === 'client 0'))
})
