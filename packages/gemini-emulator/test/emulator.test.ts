import sharp from 'sharp'
import t from 'tap'
import { build, contents, IMAGE_MODEL, IMAGEN_MODEL, SUBTOPICS, TEXT_MODEL } from './build.ts'

t.test('answers generateContent with candidates, usage and the model that answered', async (t) => {
  const { ask, post } = build(t)
  const answer = await ask('Topic: Rome', SUBTOPICS)
  t.equal(answer.status, 200)
  t.equal(answer.headers['content-type'], 'application/json; charset=UTF-8')
  t.match(answer.json, {
    candidates: [{ content: { role: 'model', parts: [{ text: String }] }, finishReason: 'STOP', index: 0 }],
    modelVersion: TEXT_MODEL,
    responseId: /^[\w-]{20,}$/,
  })
  const { promptTokenCount, candidatesTokenCount, thoughtsTokenCount, totalTokenCount } = answer.json.usageMetadata
  t.equal(totalTokenCount, promptTokenCount + candidatesTokenCount + thoughtsTokenCount)
  t.same(answer.json.usageMetadata.promptTokensDetails, [{ modality: 'TEXT', tokenCount: promptTokenCount }])
  const rerouted = await post('gemini-flash-latest:generateContent', contents('Topic: Rome'))
  t.equal(rerouted.json.modelVersion, TEXT_MODEL, 'an alias is answered by the model it stands for')
})

t.test('serves v1 like v1beta', async (t) => {
  const { app } = build(t)
  const url = `/v1/models/${TEXT_MODEL}:generateContent`
  const headers = { 'x-goog-api-key': 'k' }
  t.equal((await app.inject({ method: 'POST', url, headers, payload: contents('Hi') })).statusCode, 200)
  const missing = await app.inject({ method: 'POST', url: url.replace('3.8', '9.9'), headers, payload: contents('Hi') })
  t.match(missing.json().error.message, /for API version v1,/)
})

t.test('streams frames exactly as Google frames them', async (t) => {
  const { post, app } = build(t)
  const answer = await post(`${TEXT_MODEL}:streamGenerateContent?alt=sse`, contents('Tell me about Rome'))
  t.equal(answer.headers['content-type'], 'text/event-stream')
  const frames = answer.text.split('\r\n\r\n')
  t.equal(frames.pop(), '', 'the last frame is closed too')
  t.ok(frames.every((frame) => frame.startsWith('data: {') && !frame.includes('\n')))
  const chunks = frames.map((frame) => JSON.parse(frame.slice('data: '.length)))
  t.equal(new Set(chunks.map(({ responseId }) => responseId)).size, 1)
  t.ok(chunks.length > 2)
  const last = chunks.at(-1)
  t.equal(last.candidates[0].finishReason, 'STOP')
  t.notOk('parts' in last.candidates[0].content)
  t.ok(chunks.slice(0, -1).every(({ candidates }) => !('finishReason' in candidates[0])))
  const totals = chunks.map(({ usageMetadata }) => usageMetadata.totalTokenCount)
  t.same(
    totals,
    totals.toSorted((a, b) => a - b),
    'usage is cumulative',
  )
  app.emulator.faults.add({ kind: '503' })
  const failed = await post(`${TEXT_MODEL}:streamGenerateContent?alt=sse`, contents('Tell me about Rome'))
  t.equal(failed.status, 503)
  t.equal(failed.headers['content-type'], 'application/json; charset=UTF-8', 'an error has a plain JSON body')
})

t.test('counts tokens of bare contents and of a whole request, without taking quota', async (t) => {
  const { app, post } = build(t, { limits: { rpm: 1 } })
  const whole = { generateContentRequest: { model: `models/${TEXT_MODEL}`, ...contents('Topic: Rome') } }
  const bare = await post(`${TEXT_MODEL}:countTokens`, contents('Topic: Rome'))
  t.same((await post(`${TEXT_MODEL}:countTokens`, whole)).json, bare.json)
  const generated = await post(`${TEXT_MODEL}:generateContent`, contents('Topic: Rome'))
  t.equal(bare.json.totalTokens, generated.json.usageMetadata.promptTokenCount)
  t.equal(app.emulator.counters().admitted, 1)
})

t.test('draws a picture whose mime type is true to its bytes', async (t) => {
  const body = { ...contents('A red cube'), generationConfig: { responseModalities: ['TEXT', 'IMAGE'] } }
  for (const pictureFormat of ['png', 'jpeg'] as const) {
    const { post } = build(t, { pictureFormat })
    const { json } = await post(`${IMAGE_MODEL}:generateContent`, body)
    const { mimeType, data } = json.candidates[0].content.parts[1].inlineData
    const { format, width, height } = await sharp(Buffer.from(data, 'base64')).metadata()
    t.equal(mimeType, `image/${pictureFormat}`)
    t.same({ format, width, height }, { format: pictureFormat, width: 1024, height: 1024 })
    t.same(json.usageMetadata.candidatesTokensDetails, [{ modality: 'IMAGE', tokenCount: 1120 }])
  }
})

t.test('predicts pictures as Imagen does', async (t) => {
  const { post } = build(t)
  const parameters = { sampleCount: 2, aspectRatio: '16:9' }
  const { json } = await post(`${IMAGEN_MODEL}:predict`, { instances: [{ prompt: 'A cat' }], parameters })
  t.equal(json.predictions.length, 2)
  t.not(json.predictions[0].bytesBase64Encoded, json.predictions[1].bytesBase64Encoded)
  const { format, width, height } = await sharp(
    Buffer.from(json.predictions[0].bytesBase64Encoded, 'base64'),
  ).metadata()
  t.same({ format, width, height }, { format: 'png', width: 1344, height: 768 })
  t.equal((await post(`${IMAGEN_MODEL}:generateContent`, contents('A cat'))).status, 404)
  t.equal((await post(`${TEXT_MODEL}:predict`, { instances: [{ prompt: 'A cat' }] })).status, 404)
})

t.test('lists its models and describes one', async (t) => {
  const { app } = build(t)
  const get = (url: string) => app.inject({ url, headers: { 'x-goog-api-key': 'k' } })
  const { models } = (await get('/v1beta/models')).json()
  t.ok(models.some(({ name }: { name: string }) => name === `models/${TEXT_MODEL}`))
  t.notOk(
    models.some(({ name }: { name: string }) => name.includes('gemini-2.0')),
    'retired models are gone',
  )
  const { supportedGenerationMethods } = (await get(`/v1beta/models/${IMAGEN_MODEL}`)).json()
  t.same(supportedGenerationMethods, ['predict'])
  t.equal((await get('/v1beta/models/gemini-2.0-flash')).statusCode, 404)
  t.equal((await app.inject('/v1beta/models')).statusCode, 403)
})

t.test('takes any key unless keys are listed, and none never', async (t) => {
  const open = build(t)
  const listed = build(t, { apiKeys: ['good'] })
  const call = (driven: typeof open, headers: Record<string, string>) =>
    driven.post(`${TEXT_MODEL}:generateContent`, contents('Hi'), headers)
  t.match((await call(open, {})).json, { error: { code: 403, status: 'PERMISSION_DENIED' } })
  t.equal((await call(open, { 'x-goog-api-key': 'anything' })).status, 200)
  t.equal((await call(listed, { 'x-goog-api-key': 'good' })).status, 200)
  const wrong = (await call(listed, { 'x-goog-api-key': 'bad' })).json.error
  t.match(wrong, { code: 400, status: 'INVALID_ARGUMENT', details: [{ reason: 'API_KEY_INVALID' }] })
})

t.test('refuses what Google refuses', async (t) => {
  const { app, post, ask } = build(t)
  const refused = async (body: Record<string, unknown>, message: RegExp) => {
    const { json } = await post(`${TEXT_MODEL}:generateContent`, body)
    t.match(json, { error: { code: 400, status: 'INVALID_ARGUMENT', message } })
  }
  await refused({}, /contents is not specified/)
  await refused({ contents: [{ parts: [] }] }, /parts must not be empty/)
  await refused({ ...contents('Hi'), temperture: 1 }, /Unknown name "temperture"/)
  await refused(
    { ...contents('Hi'), generationConfig: { responseModalities: ['IMAGE'] } },
    /response modalities: image/,
  )
  await refused(contents('What is it?', { mimeType: 'image/png', data: 'AAAA' }), /Unable to process input image/)
  const schemaWithoutMimeType = await ask('Hi', { responseSchema: { type: 'STRING' } })
  t.equal(schemaWithoutMimeType.status, 400)
  const badSchema = await ask('Hi', { responseMimeType: 'application/json', responseSchema: { type: 'OBJECT' } })
  t.match(badSchema.json.error.message, /should be non-empty for OBJECT type/)
  const notJson = await app.inject({
    method: 'POST',
    url: `/v1beta/models/${TEXT_MODEL}:generateContent`,
    headers: { 'x-goog-api-key': 'k', 'content-type': 'application/json' },
    payload: '{',
  })
  t.match(notJson.json(), { error: { code: 400, message: /^Invalid JSON payload received/ } })
  t.equal((await post('gemini-9-ultra:generateContent', contents('Hi'))).status, 404)
  t.equal((await post(`${TEXT_MODEL}:embedContent`, contents('Hi'))).status, 404)
})

t.test('cuts an answer that is longer than maxOutputTokens', async (t) => {
  const { ask } = build(t)
  const { candidates, usageMetadata } = (await ask('Topic: Rome', { maxOutputTokens: 90 })).json
  t.equal(candidates[0].finishReason, 'MAX_TOKENS')
  t.ok(usageMetadata.candidatesTokenCount + usageMetadata.thoughtsTokenCount <= 90)
  t.equal((await ask('Topic: Rome', { maxOutputTokens: 4000 })).json.candidates[0].finishReason, 'STOP')
})

t.test('enforces its own limits per model, and says so as Google does', async (t) => {
  const clock = { nowMs: Date.UTC(2026, 5, 1, 12) }
  const { app, ask, post } = build(t, { limits: { rpm: 3 }, clock: () => clock.nowMs })
  const statuses = async (count: number) => {
    const answers = await Promise.all(Array.from({ length: count }, () => ask('Topic: Rome')))
    return answers.map(({ status }) => status).toSorted()
  }
  t.same(await statuses(5), [200, 200, 200, 429, 429])
  clock.nowMs += 25_500
  const { error } = (await ask('Topic: Rome')).json
  t.match(error.message, /limit: 3, model: gemini-3\.8-flash\nPlease retry in 34\.5s\.$/)
  t.equal(error.details[2].retryDelay, '34s', 'RetryInfo truncates')
  t.equal((await post('gemini-3.5-flash-lite:generateContent', contents('Topic: Rome'))).status, 200, 'another model')
  clock.nowMs += 34_500
  t.same(await statuses(4), [200, 200, 200, 429])
  t.match(app.emulator.counters(), {
    admitted: 7,
    refused: { rpm: 4, inputTpm: 0, rpd: 0 },
    byModel: { [TEXT_MODEL]: { admitted: 6, refused: 4 }, 'gemini-3.5-flash-lite': { admitted: 1, refused: 0 } },
  })
  app.emulator.reset()
  t.equal((await ask('Topic: Rome')).status, 200, 'reset forgets the minute')
})

t.test('by default 15 requests a minute are admitted', async (t) => {
  const { ask } = build(t)
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask('Topic: Rome')))
  t.equal(answers.filter(({ status }) => status === 200).length, 15)
})

t.test('says on its home page that it is an emulator', async (t) => {
  const { app } = build(t)
  const home = await app.inject('/')
  t.match(home.headers['content-type'], /^text\/plain/)
  t.match(home.body, /emulator/)
})

t.test('remembers the last calls, without keys', async (t) => {
  const { app, post } = build(t, { limits: { rpm: Infinity } })
  const body = {
    ...contents('Topic: Rome'),
    systemInstruction: { parts: [{ text: 'You teach' }] },
    generationConfig: { maxOutputTokens: 700 },
  }
  app.emulator.faults.add({ kind: '503', times: 1 })
  await post(`${TEXT_MODEL}:generateContent`, body, { 'x-goog-api-key': 'secret-key' })
  const calls = app.emulator.calls()
  t.match(calls, [
    {
      task: 'text',
      model: TEXT_MODEL,
      method: 'generateContent',
      system: 'You teach',
      prompt: 'Topic: Rome',
      maxOutputTokens: 700,
      faults: ['503'],
      status: 503,
    },
  ])
  const overHttp = (await app.inject('/emulator/calls')).json()
  t.same(overHttp.calls, calls)
  t.notMatch(JSON.stringify(overHttp), /secret-key/)
  for (let i = 0; i < 510; i += 1) await post(`${TEXT_MODEL}:countTokens`, contents(`Topic: ${i}`))
  t.equal(app.emulator.calls().length, 500)
  t.equal(app.emulator.calls().at(-1)?.prompt, 'Topic: 509')
  await app.inject({ method: 'POST', url: '/emulator/reset' })
  t.same(app.emulator.calls(), [])
  t.same((await app.inject('/emulator/counters')).json(), app.emulator.counters())
})

t.test('keeps when every call came that takes quota, whatever became of it', async (t) => {
  const { app, ask, post } = build(t, { limits: { rpm: 1 }, clock: () => 1_000 })
  app.emulator.faults.add({ kind: '429_bare', times: 1 })
  for (const status of [429, 200, 429]) t.equal((await ask('Topic: Rome')).status, status)
  await post(`${TEXT_MODEL}:countTokens`, contents('Topic: Rome'))
  const reply = await app.inject('/emulator/arrivals')
  const { arrivals } = reply.json()
  t.equal(arrivals.length, 3, 'a fault, an admission, a refusal; counting tokens takes none')
  t.match(arrivals[0], { atMs: 1_000, task: 'text', model: TEXT_MODEL, inputTokens: Number })
  app.emulator.reset()
  t.same(app.emulator.arrivals(), [])
})
