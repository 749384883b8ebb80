import { emulatorForTest } from '@knowalledge/testing'
import t from 'tap'
import { recognisePicture } from '../src/pictures.ts'
import { answerWith, clientFor, failureOf, KEY, MODELS, rawServer, sendJson } from './build.ts'

const signal = new AbortController().signal
const request = { model: MODELS.image, prompt: 'A red cube', signal }
const IMAGEN = { imageBackend: 'imagen' } as const
const PNG = Buffer.from('89504e470d0a1a0a0000', 'hex').toString('base64')

t.test('draws a picture and says what its bytes truly are', async (t) => {
  for (const [pictureFormat, mimeType] of [
    ['png', 'image/png'],
    ['jpeg', 'image/jpeg'],
  ] as const) {
    const { baseUrl } = await emulatorForTest(t, { pictureFormat })
    const { value, usage, modelVersion } = await clientFor(t, baseUrl).generatePicture(request)
    t.equal(value.mimeType, mimeType)
    t.equal(recognisePicture(value.bytes), mimeType)
    t.equal(modelVersion, 'gemini-3.1-flash-image')
    t.ok(usage.outputTokens >= 1120)
  }
})

t.test('draws with Imagen, which reports no tokens', async (t) => {
  const { baseUrl } = await emulatorForTest(t, { pictureFormat: 'jpeg' })
  const { value, usage, modelVersion } = await clientFor(t, baseUrl, IMAGEN).generatePicture({
    ...request,
    model: MODELS.imagen,
  })
  t.equal(value.mimeType, 'image/jpeg')
  t.equal(modelVersion, 'imagen-4.0-generate-001')
  t.same(usage, { promptTokens: 0, outputTokens: 0, totalTokens: 0 })
})

t.test('asks for pictures in the form each backend takes, with the key in a header only', async (t) => {
  const { baseUrl, seen } = await rawServer(t, (response, { url }) => {
    if (url.endsWith(':predict'))
      sendJson(response, { predictions: [{ bytesBase64Encoded: PNG, mimeType: 'image/png' }] })
    else sendJson(response, answerWith({ inlineData: { mimeType: 'image/png', data: PNG } }))
  })
  await clientFor(t, baseUrl).generatePicture(request)
  await clientFor(t, baseUrl, IMAGEN).generatePicture({ ...request, model: MODELS.imagen })
  t.match(seen, [
    {
      url: '/v1beta/models/gemini-3.1-flash-image:generateContent',
      headers: { 'x-goog-api-key': KEY },
      body: {
        contents: [{ role: 'user', parts: [{ text: 'A red cube' }] }],
        generationConfig: { responseModalities: ['TEXT', 'IMAGE'], imageConfig: { aspectRatio: '1:1' } },
      },
    },
    {
      url: '/v1beta/models/imagen-4.0-generate-001:predict',
      headers: { 'x-goog-api-key': KEY },
      body: { instances: [{ prompt: 'A red cube' }], parameters: { sampleCount: 1, aspectRatio: '1:1' } },
    },
  ])
  for (const { url, body } of seen) t.notMatch(JSON.stringify([url, body]), new RegExp(KEY))
})

t.test('does not believe the mime type that comes with the bytes', async (t) => {
  const jpeg = Buffer.from('ffd8ffe000104a464946', 'hex').toString('base64')
  const text = Buffer.from('this is no picture').toString('base64')
  const answers = [jpeg, text]
  const { baseUrl } = await rawServer(t, (response) =>
    sendJson(response, answerWith({ text: 'Here:' }, { inlineData: { mimeType: 'image/png', data: answers.shift() } })),
  )
  const gemini = clientFor(t, baseUrl)
  t.equal((await gemini.generatePicture(request)).value.mimeType, 'image/jpeg')
  t.match(await failureOf(gemini.generatePicture(request)), { kind: 'malformed', usage: { totalTokens: 204 } })
})

t.test('ignores the drafts among the thoughts', async (t) => {
  const draft = { inlineData: { mimeType: 'image/jpeg', data: '/9j/4AAQ' }, thought: true }
  const { baseUrl } = await rawServer(t, (response) =>
    sendJson(response, answerWith(draft, { inlineData: { data: PNG } })),
  )
  t.equal((await clientFor(t, baseUrl).generatePicture(request)).value.mimeType, 'image/png')
})

t.test('a refused picture is blocked, a missing one malformed, on both backends', async (t) => {
  const emulator = await emulatorForTest(t)
  const gemini = clientFor(t, emulator.baseUrl)
  const imagen = clientFor(t, emulator.baseUrl, IMAGEN)
  type Kind = Parameters<typeof emulator.faults.add>[0]['kind']
  const kindsFor = async (kind: Kind, reason?: string) => {
    emulator.faults.clear()
    emulator.faults.add({ kind, ...(reason && { reason }) })
    return [
      (await failureOf(gemini.generatePicture(request))).kind,
      (await failureOf(imagen.generatePicture({ ...request, model: MODELS.imagen }))).kind,
    ]
  }
  t.same(await kindsFor('safety_candidate'), ['blocked', 'blocked'])
  t.same(await kindsFor('safety_candidate', 'IMAGE_PROHIBITED_CONTENT'), ['blocked', 'blocked'])
  t.same(await kindsFor('safety_prompt', 'IMAGE_SAFETY'), ['blocked', 'blocked'])
  t.same(await kindsFor('empty_candidates'), ['malformed', 'malformed'])
  t.same(await kindsFor('truncated_json'), ['malformed', 'malformed'])
  t.same(await kindsFor('429_prepay'), ['rate_limited', 'rate_limited'])
  emulator.faults.clear()
  emulator.faults.add({ kind: 'refusal_text' })
  t.match(await failureOf(gemini.generatePicture(request)), { kind: 'malformed', message: /NO_IMAGE/, usage: Object })
})

t.test('recognises pictures by their magic numbers and nothing else', (t) => {
  const cases: [string, string | undefined][] = [
    ['89504e470d0a1a0a', 'image/png'],
    ['ffd8ffdb', 'image/jpeg'],
    [Buffer.from('GIF87a').toString('hex'), 'image/gif'],
    [Buffer.from('GIF89a').toString('hex'), 'image/gif'],
    [Buffer.from('RIFF\0\0\0\0WEBPVP8 ').toString('hex'), 'image/webp'],
    [Buffer.from('RIFF\0\0\0\0WAVEfmt ').toString('hex'), undefined],
    [Buffer.from('<svg/>').toString('hex'), undefined],
    ['8950', undefined],
    ['', undefined],
  ]
  for (const [hex, type] of cases) t.equal(recognisePicture(Buffer.from(hex, 'hex')), type, hex)
  t.end()
})
