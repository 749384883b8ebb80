import { GeminiError } from '@knowalledge/gemini'
import type { Place } from '@knowalledge/quota-client'
import { HttpError } from '@knowalledge/service-kit'
import t, { type Test } from 'tap'
import type { BudgetClient } from '../src/client-budget.ts'
import type { RunContext } from '../src/index.ts'
import { PlacesInLine } from '../src/places-in-line.ts'
import { answerOf, contextOf, generationForTest, limits, specOf } from './fixtures.ts'

const answered = (topic: string) => specOf(topic, async () => answerOf(topic))

/** A short minute with `rpm` requests, and the contexts of clients that wait. */
function lineForTest(t: Test, rpm: number, windowMs = 400) {
  const made = generationForTest(t, { quota: { limits: { ...limits, rpm }, windowMs, transitMs: 50 } })
  const places = new PlacesInLine()
  const alive = setInterval(() => {}, 1_000) // none of the timers in line keeps the process
  t.teardown(() => clearInterval(alive))
  const waiting = (client?: BudgetClient, seconds = 60) => {
    const told: Place[] = []
    const expired = AbortSignal.timeout(seconds * 1000)
    const closing = new AbortController().signal
    const wait = {
      ...{ untilMs: performance.now() + seconds * 1000, expired, closing, places },
      ...{ owners: places.ownersFor(client), line: new Map(), onPlace: (place: Place) => void told.push(place) },
    }
    return { context: { ...contextOf(), client, wait } satisfies RunContext, told }
  }
  return { ...made, places, waiting }
}

/** Resolves when the condition holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

t.test('a request that does not wait is refused at once when the same one waits in line, which goes on', async (t) => {
  const { generation, waiting } = lineForTest(t, 1, 2_000)
  await generation.run(answered('first'), contextOf())
  const { context, told } = waiting()
  const inLine = generation.run(answered('second'), context)
  await until(() => told.length > 0)
  const refusal = { code: 'quota_exceeded', message: /waits in line/, fields: { retry_after: /^[23] seconds$/ } }
  await t.rejects(generation.run(answered('second'), contextOf()), refusal)
  await t.rejects(generation.run(answered('second'), waiting(undefined, 0.1).context), refusal, 'nor for so long')
  const [inPresentation] = await generation.runAll([answered('second')], contextOf())
  t.match(inPresentation, { status: 'rejected', reason: refusal })
  t.match(await inLine, { value: 'second', cached: false })
})

t.test('one that came before the call had to line up is refused as soon as it does', async (t) => {
  const { generation, waiting } = lineForTest(t, 1)
  const call = Promise.withResolvers<never>()
  const calls = [() => call.promise, async () => answerOf('answer')]
  const spec = specOf('topic', () => (calls.shift() as () => Promise<never>)())
  const first = generation.run(spec, waiting().context)
  await until(() => calls.length === 1)
  const second = generation.run(spec, contextOf())
  second.catch(() => {}) // looked at below
  call.reject(new GeminiError('unavailable', 'overloaded', { retryable: true }))
  await t.rejects(second, { message: /waits in line/ })
  t.match(await first, { value: 'answer' })
})

t.test('a client that waits for the same call of another is told its place', async (t) => {
  const { generation, waiting } = lineForTest(t, 1)
  await generation.run(answered('first'), contextOf())
  const [one, other] = [waiting(), waiting()]
  const both = [one, other].map(({ context }) => generation.run(answered('second'), context))
  for (const answer of await Promise.all(both)) t.match(answer, { value: 'second' })
  for (const { told } of [one, other]) t.match(told[0], { position: 1 })
})

t.test('a client has eight places in line; its other calls wait for one of them, and are told so', async (t) => {
  const { generation, quota, places, waiting } = lineForTest(t, 1, 2_000)
  await generation.run(answered('first'), contextOf())
  const client = { id: 'browser a', address: '192.0.2.1' }
  const context = () => waiting(client)
  const topics = Array.from({ length: 10 }, (_, n) => `topic ${n}`)
  const leaving = new AbortController()
  const requests = topics.map((topic) => {
    const { context: itsContext, told } = context()
    const answer = generation.run(answered(topic), { ...itsContext, signal: leaving.signal })
    return { answer: answer.catch((error) => error), told }
  })
  await until(() => requests.every(({ told }) => told.length > 0))
  t.equal((await quota.usage()).queue.interactive.length, 8)
  t.equal(places.clients, 1)
  t.same(
    requests.map(({ told }) => told[0]?.position),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 9],
  )
  const refused = generation.run(answered('one more'), waiting(client, 5).context)
  await t.rejects(refused, { code: 'quota_exceeded', fields: { limit_type: 'client' }, message: /has 8 calls in line/ })
  const neighbour = waiting({ id: 'browser b', address: '192.0.2.1' })
  const its = generation.run(answered('of another'), { ...neighbour.context, signal: leaving.signal }).catch(() => {})
  await until(() => neighbour.told.length > 0)
  t.equal(neighbour.told[0]?.position, 2, 'another client takes turns with it')
  leaving.abort()
  await Promise.all([its, ...requests.map(({ answer }) => answer)])
  t.equal(places.clients, 0)
})

t.test('a call that waits for a place is answered in its turn', async (t) => {
  const { generation, waiting } = lineForTest(t, 4)
  const client = { id: 'browser a', address: '192.0.2.1' }
  const topics = Array.from({ length: 14 }, (_, n) => `topic ${n}`)
  const answers = await Promise.all(topics.map((topic) => generation.run(answered(topic), waiting(client).context)))
  t.same(
    answers.map(({ value }) => value),
    topics,
  )
})

t.test('an address has a hundred places, whatever its clients call themselves', async (t) => {
  const { generation, quota, waiting } = lineForTest(t, 1, 60_000)
  await generation.run(answered('first'), contextOf())
  const leaving = new AbortController()
  const requests = Array.from({ length: 101 }, (_, n) => {
    const { context, told } = waiting({ id: `browser ${n}`, address: '192.0.2.1' }, 86_400)
    return { answer: generation.run(answered(`${n}`), { ...context, signal: leaving.signal }).catch(() => {}), told }
  })
  await until(() => requests.every(({ told }) => told.length > 0))
  t.equal((await quota.usage()).queue.interactive.length, 100)
  leaving.abort()
  await Promise.all(requests.map(({ answer }) => answer))
})

t.test('after a 429 of Gemini for a minute a waiting client lines up again, and is told', async (t) => {
  const { generation, waiting } = lineForTest(t, 15)
  const pause = { limitType: 'rpm', delayMs: 1_000, untilDayEnds: false, terminal: false } as const
  const answers = [
    async () => Promise.reject(new GeminiError('rate_limited', 'slow down', { pause, reachedGemini: true })),
    async () => answerOf('answer'),
  ]
  const spec = specOf('topic', () => (answers.shift() as () => Promise<never>)())
  const { context, told } = waiting()
  t.match(await generation.run(spec, context), { value: 'answer', cached: false })
  t.ok((told[0]?.startsInMs ?? 0) > 500, 'the pause')
})

t.test('nor does it wait when the pause is longer than its time, as one until the day ends', async (t) => {
  const { generation, waiting } = lineForTest(t, 15)
  const pause = { limitType: 'rpd', untilDayEnds: true, terminal: false } as const
  const spec = specOf('topic', async () =>
    Promise.reject(new GeminiError('rate_limited', 'tomorrow', { pause, reachedGemini: true })),
  )
  const { context, told } = waiting()
  await t.rejects(generation.run(spec, context), { code: 'quota_exceeded', fields: { limit_type: 'rpd' } })
  t.same(told, [])
})

t.test(
  'calls of a presentation for which there is no place yet end with its client, or with the instance',
  async (t) => {
    const { generation, waiting } = lineForTest(t, 1, 2_000)
    await generation.run(answered('first'), contextOf())
    const specs = Array.from({ length: 6 }, (_, n) => answered(`part ${n}`))
    for (const end of ['client', 'instance'] as const) {
      const [client, instance] = [new AbortController(), new AbortController()]
      const { context, told } = waiting()
      const wait = { ...context.wait, closing: instance.signal }
      const results = generation.runAll(specs, { ...context, wait, signal: client.signal })
      await until(() => told.length > 0)
      const closing = new HttpError('service_unavailable', 'This instance is closing.')
      if (end === 'client') client.abort()
      else instance.abort(closing)
      const code = end === 'client' ? 'timeout' : 'service_unavailable'
      for (const result of await results) t.match(result, { status: 'rejected', reason: { code } })
    }
  },
)

t.test('an instance that closes does not wait for the calls of others', async (t) => {
  const { generation, waiting } = lineForTest(t, 1, 1_000)
  await generation.run(answered('first'), contextOf())
  const [leader, other] = [waiting(), waiting()]
  const answer = generation.run(answered('second'), leader.context)
  await until(() => leader.told.length > 0)
  const instance = new AbortController()
  const wait = { ...other.context.wait, closing: instance.signal }
  const left = generation.run(answered('second'), { ...other.context, wait })
  await until(() => other.told.length > 0)
  instance.abort(new HttpError('service_unavailable', 'This instance is closing.'))
  await t.rejects(left, { code: 'service_unavailable' })
  t.match(await answer, { value: 'second' })
})
