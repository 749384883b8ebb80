import { setImmediate as turn } from 'node:timers/promises'
import { emulatorForTest } from '@knowalledge/testing'
import t from 'tap'
import { answerWith, clientFor, failureOf, KEY, MODELS, question, rawServer, sendJson } from './build.ts'

t.test('answers with the parsed JSON, the tokens and the model that really answered', async (t) => {
  const { baseUrl } = await emulatorForTest(t)
  const gemini = clientFor(t, baseUrl)
  const { value, usage, modelVersion } = await gemini.generateJson(
    question({ model: 'gemini-flash-latest', prompt: 'Topic: Rome\nCount: 15' }),
  )
  t.equal((value as { subtopics: string[] }).subtopics.length, 15)
  t.equal(modelVersion, 'gemini-3.8-flash', 'not the name that was asked for')
  t.ok(usage.promptTokens > 0 && usage.outputTokens > 0)
  t.equal(usage.totalTokens, usage.promptTokens + usage.outputTokens)
})

t.test('asks about a picture', async (t) => {
  const emulator = await emulatorForTest(t)
  const gemini = clientFor(t, emulator.baseUrl)
  const signal = new AbortController().signal
  const { value: picture } = await gemini.generatePicture({ model: MODELS.image, prompt: 'A red cube', signal })
  const schema = { type: 'OBJECT', properties: { topic: { type: 'STRING' } } } as const
  const answer = await gemini.describePicture(question({ prompt: 'What is it?', schema, ...{ picture } }) as never)
  t.match(answer.value, { topic: /\w+ \w+/ })
  t.match(emulator.calls().at(-1), {
    task: 'vision',
    pictures: [{ mimeType: 'image/png', byteLength: picture.bytes.length }],
  })
})

t.test('sends the key in one header, the schema, and no sampling parameters', async (t) => {
  const { baseUrl, seen } = await rawServer(t, (response) => sendJson(response, answerWith({ text: '{}' })))
  const gemini = clientFor(t, `${baseUrl}//`)
  const schema = {
    type: 'OBJECT',
    description: 'a book',
    properties: {
      title: { type: 'STRING', description: 'its name' },
      kind: { type: 'STRING', enum: ['a', 'b'] },
      pages: { type: 'INTEGER' },
      price: { type: 'NUMBER' },
      isNew: { type: 'BOOLEAN' },
      tags: { type: 'ARRAY', items: { type: 'STRING' }, minItems: 1, maxItems: 3 },
    },
    required: ['title'],
  } as const
  const mutable = structuredClone(schema) as never
  await gemini.generateJson(question({ system: 'You teach.', schema: mutable, maxOutputTokens: 321 }))
  const [call] = seen
  t.equal(call?.url, '/v1beta/models/gemini-3.8-flash:generateContent', 'slashes of the base URL are tolerated')
  t.equal(call?.headers['x-goog-api-key'], KEY)
  t.same(call?.body.generationConfig, {
    responseMimeType: 'application/json',
    maxOutputTokens: 321,
    responseSchema: {
      type: 'object',
      description: 'a book',
      properties: {
        title: { type: 'string', description: 'its name' },
        kind: { type: 'string', format: 'enum', enum: ['a', 'b'] },
        pages: { type: 'integer' },
        price: { type: 'number' },
        isNew: { type: 'boolean' },
        tags: { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: 3 },
      },
      required: ['title'],
    },
  })
  t.match(call?.body, {
    contents: [{ role: 'user', parts: [{ text: 'Topic: Rome' }] }],
    systemInstruction: { parts: [{ text: 'You teach.' }] },
  })
  const withoutKey = Object.entries(call?.headers ?? {}).filter(([name]) => name !== 'x-goog-api-key')
  t.notMatch(JSON.stringify([call?.url, withoutKey, call?.body]), new RegExp(KEY))
})

t.test('skips thoughts, which the SDK would mix into the text', async (t) => {
  const { baseUrl } = await rawServer(t, (response) =>
    sendJson(response, answerWith({ text: 'Let me think {', thought: true }, { text: '{"a":' }, { text: '1}' })),
  )
  const { value, usage } = await clientFor(t, baseUrl).generateJson(question())
  t.same(value, { a: 1 })
  t.same(usage, { promptTokens: 7, outputTokens: 197, totalTokens: 204 }, 'thoughts count as output')
})

t.test('works out a total that Google left out, and reports nothing as nothing', async (t) => {
  const answers = [{ usageMetadata: { promptTokenCount: 5 } }, { usageMetadata: undefined, modelVersion: undefined }]
  const { baseUrl } = await rawServer(t, (response) =>
    sendJson(response, { ...answerWith({ text: '{}' }), ...answers.shift() }),
  )
  const gemini = clientFor(t, baseUrl)
  t.same((await gemini.generateJson(question())).usage, { promptTokens: 5, outputTokens: 0, totalTokens: 5 })
  const { usage, modelVersion } = await gemini.generateJson(question())
  t.same(usage, { promptTokens: 0, outputTokens: 0, totalTokens: 0 })
  t.equal(modelVersion, 'gemini-3.8-flash', 'the asked model stands in')
})

t.test('without a usable key nothing is sent and an operator is asked for', async (t) => {
  const emulator = await emulatorForTest(t)
  const signal = new AbortController().signal
  for (const apiKey of [undefined, '', '  ', 'two\nlines', 'schlüssel']) {
    const gemini = clientFor(t, emulator.baseUrl, { apiKey })
    for (const call of [
      gemini.generateJson(question()),
      gemini.describePicture({ ...question(), picture: { bytes: new Uint8Array(1), mimeType: 'image/png' } }),
      gemini.generatePicture({ model: MODELS.image, prompt: 'A cat', signal }),
    ]) {
      t.match(await failureOf(call), { kind: 'not_configured', reachedGemini: false, retryable: false })
    }
  }
  t.same(emulator.calls(), [])
})

t.test('leaves the global fetch alone, and two clients do not meet', async (t) => {
  const [first, second] = [await emulatorForTest(t), await emulatorForTest(t)]
  const clients = [clientFor(t, first.baseUrl), clientFor(t, second.baseUrl)]
  const original = globalThis.fetch
  const calls = Array.from({ length: 10 }, (_, i) =>
    clients[i % 2]?.generateJson(question({ prompt: `Topic: ${i % 2}` })),
  )
  t.equal(globalThis.fetch, original, 'already while the calls are in flight')
  await Promise.all(calls)
  t.equal(globalThis.fetch, original)
  t.same(new Set(first.calls().map(({ prompt }) => prompt)), new Set(['Topic: 0']))
  t.same(new Set(second.calls().map(({ prompt }) => prompt)), new Set(['Topic: 1']))
})

t.test('keeps one connection alive for calls one after the other, and close lets go of it', async (t) => {
  const { baseUrl, connections, server } = await rawServer(t, (response) =>
    sendJson(response, answerWith({ text: '{}' })),
  )
  const gemini = clientFor(t, baseUrl)
  for (let i = 0; i < 20; i += 1) await gemini.generateJson(question())
  t.ok(connections() <= 2, 'undici may open a second one while the first is about to be free')
  await gemini.close()
  const open = () => new Promise((resolve) => server.getConnections((_error, count) => resolve(count)))
  while ((await open()) !== 0) await turn() // the server has not seen the end yet
  t.match(await failureOf(gemini.generateJson(question())), { kind: 'unavailable', reachedGemini: false })
})

t.test('close waits for the call in flight', async (t) => {
  const { baseUrl } = await emulatorForTest(t, { latencyMs: 100 })
  const gemini = clientFor(t, baseUrl)
  const call = gemini.generateJson(question())
  await gemini.close()
  t.match(await call, { modelVersion: 'gemini-3.8-flash' })
})
