import { serviceForTest } from '@knowalledge/generation/testing'
import { hostileJson } from '@knowalledge/testing'
import sharp from 'sharp'
import t from 'tap'
import { buildApp } from '../src/app.ts'
import { loadConfig } from '../src/config.ts'

const build = serviceForTest({ buildApp, loadConfig })

const url = '/api/generate_image'

t.test('draws a real picture, says what it truly is, and serves it again by its hash', async (t) => {
  const { app, post, emulator } = await build(t)
  const reply = await post(url, { prompt: 'A leaf in sunlight' })
  t.equal(reply.statusCode, 200)
  t.equal(reply.headers['x-cache'], 'miss')
  const answer = reply.json()
  t.match(answer, { format: 'base64_png', mime_type: 'image/png', cached: false, from_fallback: false })
  const bytes = Buffer.from(answer.image, 'base64')
  t.match(await sharp(bytes).metadata(), { format: 'png' })

  t.same((await post(url, { prompt: 'A leaf  in sunlight' })).json(), { ...answer, cached: true })
  t.equal(emulator.counters().byTask.image.admitted, 1)

  const picture = await app.inject(answer.url)
  t.equal(picture.statusCode, 200)
  t.equal(picture.headers['content-type'], 'image/png')
  t.equal(picture.headers['cache-control'], 'public, max-age=31536000, immutable')
  t.ok(picture.rawPayload.equals(bytes))
  const etag = String(picture.headers.etag)
  t.equal((await app.inject({ url: answer.url, headers: { 'if-none-match': etag } })).statusCode, 304)
})

t.test('IMAGE_BACKEND=imagen asks with predict', async (t) => {
  const { post, emulator } = await build(t, { IMAGE_BACKEND: 'imagen', GEMINI_IMAGE_MODEL: 'imagen-4.0-generate-001' })
  const reply = await post(url, { prompt: 'A leaf' })
  t.equal(reply.statusCode, 200)
  t.match(emulator.calls()[0], { method: 'predict', model: 'imagen-4.0-generate-001' })
})

t.test('bad input names the field and the bound, and spends no quota', async (t) => {
  const { app, post, emulator } = await build(t)
  const table: [payload: object, message: RegExp][] = [
    [{}, /prompt is missing/],
    [{ prompt: '  ' }, /prompt is empty/],
    [{ prompt: 'x'.repeat(501) }, /prompt must have at most 500 characters/],
    [{ prompt: { text: 'x' } }, /prompt must be a text/],
  ]
  for (const [payload, message] of table) {
    const reply = await post(url, payload)
    t.equal(reply.statusCode, 400)
    t.match(reply.json(), { error: 'invalid_input', message })
  }
  t.equal((await app.inject('/api/images/nonsense')).statusCode, 400)
  t.equal((await app.inject(`/api/images/${'0'.repeat(64)}`)).statusCode, 404)
  t.equal(emulator.counters().admitted, 0)
  t.equal((await post(url, { prompt: 'x'.repeat(500) })).statusCode, 200)
})

t.test('a prompt that the safety filters refuse is a 422, an empty answer a 502', async (t) => {
  const { post, emulator } = await build(t)
  emulator.faults.add({ kind: 'safety_candidate', times: 1 })
  t.match((await post(url, { prompt: 'A' })).json(), { error: 'content_blocked' })
  emulator.faults.add({ kind: 'empty_candidates', times: 1 })
  t.match((await post(url, { prompt: 'B' })).json(), { error: 'gemini_bad_answer' })
})

t.test('JSON made to harm is a 400 and spends no quota; where a field is ignored, so is its depth', async (t) => {
  const { post, emulator } = await build(t)
  for (const [name, body] of hostileJson('prompt')) {
    const reply = await post(url, body)
    t.equal(reply.statusCode, 400, name)
    t.match(reply.json(), { error: 'invalid_input' }, name)
  }
  t.equal(({} as { polluted?: boolean }).polluted, undefined)
  t.equal(emulator.counters().admitted, 0)
  const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
  t.equal((await post(url, `{"prompt":"A leaf","ignored":${deep}}`)).statusCode, 200)
})
