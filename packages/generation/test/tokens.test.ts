import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createGemini } from '@knowalledge/gemini'
import t, { type Test } from 'tap'
import { createGeneration } from '../src/index.ts'
import type { CountedTokens } from '../src/types.ts'
import { contextOf, generationForTest, limits, specOf } from './fixtures.ts'

// Bodies as Google sends them; only the texts are others.
const about = { modelVersion: 'gemini-3.8-flash', responseId: 'jy77aN2dK5v_1e8PlvqtsQ8' }
const promptTokensDetails = [{ modality: 'TEXT', tokenCount: 7 }]
const thoughtful = {
  candidates: [{ content: { parts: [{ text: '"fine"' }], role: 'model' }, finishReason: 'STOP', index: 0 }],
  usageMetadata: {
    promptTokenCount: 7,
    candidatesTokenCount: 149,
    totalTokenCount: 204,
    promptTokensDetails,
    thoughtsTokenCount: 48,
  },
  ...about,
}
/** All of the bound went into thoughts. */
const cutOff = {
  candidates: [{ content: { role: 'model' }, finishReason: 'MAX_TOKENS', index: 0 }],
  usageMetadata: { promptTokenCount: 7, totalTokenCount: 4_103, promptTokensDetails, thoughtsTokenCount: 4_096 },
  ...about,
}
/** The call was stopped before Google counted it. */
const uncounted = { candidates: cutOff.candidates, ...about }

/** The real client against a server that answers with these bodies, one after the other. */
async function recorded(
  t: Test,
  bodies: object[],
  { tpm = limits.tpm, countedTokens = 'total' as CountedTokens } = {},
) {
  // biome-ignore lint/suspicious/noExplicitAny: bodies of requests
  const asked: any[] = []
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray()
    asked.push(JSON.parse(Buffer.concat(chunks).toString()).generationConfig)
    response.setHeader('content-type', 'application/json; charset=UTF-8')
    response.end(JSON.stringify(bodies[asked.length - 1]))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const gemini = createGemini({ apiKey: 'any', baseUrl, imageBackend: 'gemini' })
  t.teardown(async () => {
    await gemini.close()
    server.close()
  })
  const { quota, cache, metrics } = generationForTest(t, { quota: { limits: { ...limits, tpm } } })
  const tools = { poolOf: () => ({ quota }), cache, metrics, timeoutMs: 5_000, random: () => 0 }
  const generation = createGeneration({ ...tools, countedTokens })
  const request = { prompt: 'Light', schema: { type: 'STRING' } as const, maxOutputTokens: 4_096 }
  const run = (more: { thinkingBudget?: number } = {}) =>
    generation.run(
      specOf('Light', (ask) => gemini.generateJson({ ...request, ...more, ...ask })),
      contextOf(),
    )
  const charged = async () => {
    const { requests, tokens } = await quota.usage()
    return { requests: requests.perMinute.current, tokens: tokens.perMinute.current }
  }
  return { run, asked, charged, metrics }
}

t.test('thoughts are charged with the answer', async (t) => {
  const { run, charged, metrics } = await recorded(t, [thoughtful])
  t.match(await run(), { value: 'fine' })
  t.same(await charged(), { requests: 1, tokens: 204 })
  const text = await metrics.registry.metrics()
  t.match(text, /^gemini_api_tokens_total\{endpoint="create_subtopics",model="model"\} 204$/m)
  t.match(text, /^gemini_api_input_tokens_total\{endpoint="create_subtopics",model="model"\} 7$/m)
})

t.test('with QUOTA_TOKENS=input only the tokens of the prompt are charged', async (t) => {
  const { run, charged } = await recorded(t, [thoughtful], { countedTokens: 'input' })
  await run()
  t.same(await charged(), { requests: 1, tokens: 7 })
  const cut = await recorded(t, [cutOff, cutOff], { countedTokens: 'input' })
  await t.rejects(cut.run())
  t.same(await cut.charged(), { requests: 2, tokens: 14 })
})

t.test(
  'an answer that is cut off is requested once more with twice the bound, each call charged with its own',
  async (t) => {
    const { run, asked, charged, metrics } = await recorded(t, [cutOff, thoughtful])
    t.match(await run(), { value: 'fine' })
    t.same(
      asked.map(({ maxOutputTokens }) => maxOutputTokens),
      [4_096, 8_192],
    )
    t.same(await charged(), { requests: 2, tokens: 4_103 + 204 })
    const text = await metrics.registry.metrics()
    t.match(text, /^gemini_api_calls_total\{endpoint="create_subtopics",model="model",status="cut_off"\} 1$/m)
  },
)

t.test('cut off twice is an error', async (t) => {
  const { run, asked, charged } = await recorded(t, [cutOff, cutOff])
  await t.rejects(run(), { code: 'gemini_bad_answer', statusCode: 502 })
  t.equal(asked.length, 2)
  t.same(await charged(), { requests: 2, tokens: 2 * 4_103 })
})

t.test(
  'the longer answer is reserved before it is requested: without the tokens for it there is no second call',
  async (t) => {
    const room = 4_103 + 7 + 2 * 4_096
    const enough = await recorded(t, [cutOff, thoughtful], { tpm: room })
    t.match(await enough.run(), { value: 'fine' })
    const less = await recorded(t, [cutOff, thoughtful], { tpm: room - 1 })
    await t.rejects(less.run(), { code: 'gemini_bad_answer' })
    t.equal(less.asked.length, 1)
    const unknown = await recorded(t, [uncounted, uncounted], { tpm: 4_499 })
    await t.rejects(unknown.run(), { code: 'gemini_bad_answer' })
    t.equal(unknown.asked.length, 1, 'twice the estimate beside the first one, where Google counted nothing')
  },
)

t.test('a thinking budget is sent, and comes on top of the bound of the answer', async (t) => {
  const { run, asked } = await recorded(t, [thoughtful])
  await run({ thinkingBudget: 512 })
  t.match(asked[0], { maxOutputTokens: 4_608, thinkingConfig: { thinkingBudget: 512 } })
  const none = await recorded(t, [thoughtful])
  await none.run({ thinkingBudget: 0 })
  t.match(none.asked[0], { maxOutputTokens: 4_096, thinkingConfig: { thinkingBudget: 0 } })
  const free = await recorded(t, [thoughtful])
  await free.run()
  t.equal(free.asked[0].maxOutputTokens, 4_096)
  t.notOk('thinkingConfig' in free.asked[0])
})
