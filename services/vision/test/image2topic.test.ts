import sharp from 'sharp'
import t from 'tap'
import { maxImageBytes } from '../src/limits.ts'
import { build, form, image } from './fixtures.ts'
import { solid } from './images.ts'

t.test('names the topic of an image; the same bytes again cost nothing, whatever their name', async (t) => {
  const { app, emulator } = await build(t)
  const red = await solid('red')
  const first = await app.inject(form(image(red, 'image.png')))
  t.equal(first.statusCode, 200)
  t.equal(first.headers['x-cache'], 'miss')
  const answer = first.json()
  t.ok(answer.generated_topic.length > 0)
  t.ok(answer.generated_topic.split(' ').length <= 10)
  t.match(answer, { warnings: [], cached: false, from_fallback: false })
  t.ok(answer.quality_score > 0.5 && answer.quality_score <= 1)
  const again = await app.inject(form(image(red, 'other-name.png')))
  t.same(again.json(), { ...answer, cached: true })
  t.equal(emulator.counters().byTask.vision.admitted, 1)
})

t.test('two different images of the same name never share a topic', async (t) => {
  const { app } = await build(t)
  const red = (await app.inject(form(image(await solid('red'), 'photo.png')))).json()
  const blue = (await app.inject(form(image(await solid('blue'), 'photo.png')))).json()
  t.notSame(red.generated_topic, blue.generated_topic)
  t.equal(blue.cached, false)
})

t.test('the language field counts wherever it stands, and Accept-Language without it', async (t) => {
  const { app, emulator } = await build(t)
  const red = await solid('red')
  const language = { name: 'language', content: 'es' }
  t.equal((await app.inject(form(language, image(red)))).statusCode, 200)
  t.match((await app.inject(form(image(red), language))).json(), { cached: true })
  const request = form(image(red))
  t.match((await app.inject({ ...request, headers: { ...request.headers, 'accept-language': 'es-ES' } })).json(), {
    cached: true,
  })
  t.match(emulator.calls()[0]?.prompt, 'Language: Spanish (es)')
})

t.test('Gemini gets a small upright image without its metadata', async (t) => {
  const { app, emulator } = await build(t)
  const photo = await sharp({ create: { width: 3000, height: 2000, channels: 3, background: 'green' } })
    .withExif({ IFD0: { Artist: 'SECRET-ARTIST' }, IFD3: { GPSLatitude: '51/1 30/1 0/1' } })
    .jpeg()
    .toBuffer()
  t.equal((await app.inject(form(image(photo, 'photo.jpg', 'image/jpeg')))).statusCode, 200)
  const [call] = emulator.calls()
  t.equal(call?.pictures.length, 1)
  t.ok((call?.pictures[0]?.byteLength ?? Number.POSITIVE_INFINITY) < photo.byteLength)
})

t.test('every kind of bad upload has its 4xx, spends no quota, and the next request works', async (t) => {
  const { app, emulator } = await build(t)
  const red = await solid('red')
  const bomb = Buffer.from(red)
  bomb.writeUInt32BE(60_000, 16)
  bomb.writeUInt32BE(60_000, 20)
  const table: [name: string, request: object, status: number, message: RegExp][] = [
    ['no file', form({ name: 'language', content: 'es' }), 400, /image is missing/],
    ['an empty form', form(), 400, /image is missing|broken/],
    ['an empty file', form(image('')), 400, /^image/],
    ['two files', form(image(red), image(red)), 400, /more than one file/],
    ['a file in another field', form({ ...image(red), name: 'photo' }), 400, /There is a file in `photo`/],
    ['a text file named .png', form(image('just text, no image')), 415, /^image: /],
    ['an SVG', form(image('<svg xmlns="http://www.w3.org/2000/svg"/>', 'x.svg', 'image/svg+xml')), 415, /^image: /],
    ['a truncated PNG', form(image(red.subarray(0, red.length - 30))), 400, /^image: /],
    ['a pixel bomb', form(image(bomb)), 413, /megapixels/],
    ['an 11 MiB file', form(image(Buffer.concat([red, Buffer.alloc(11 * 1024 * 1024)]))), 413, /10 MiB/],
    [
      'JSON',
      { method: 'POST', url: '/api/image2topic', headers: { 'content-type': 'application/json' }, payload: '{}' },
      415,
      /multipart/,
    ],
    ['no body', { method: 'POST', url: '/api/image2topic' }, 415, /multipart/],
    [
      'a form cut short',
      { ...form(image(red)), payload: form(image(red)).payload.subarray(0, 150) },
      400,
      /broken or cut short/,
    ],
    [
      'no boundary',
      { ...form(image(red)), headers: { 'content-type': 'multipart/form-data' } },
      400,
      /broken or cut short/,
    ],
    [
      'thirty parts',
      form(...Array.from({ length: 30 }, (_, n) => ({ name: `f${n}`, content: 'x' }))),
      413,
      /too many parts/,
    ],
  ]
  for (const [name, request, status, message] of table) {
    const reply = await app.inject(request)
    t.equal(reply.statusCode, status, name)
    t.match(reply.json(), { error: /^[a-z_]+$/, message }, name)
  }
  t.equal(emulator.counters().admitted, 0)
  t.equal((await app.inject(form(image(red)))).statusCode, 200)
})

t.test('a file of exactly 10 MiB is taken, one byte more is not', async (t) => {
  const { app } = await build(t)
  const red = await solid('red')
  const padded = (size: number) => Buffer.concat([red, Buffer.alloc(size - red.length)])
  t.equal((await app.inject(form(image(padded(maxImageBytes))))).statusCode, 200)
  t.equal((await app.inject(form(image(padded(maxImageBytes + 1))))).statusCode, 413)
})

t.test('a refusal is no topic', async (t) => {
  const { app, emulator } = await build(t)
  emulator.faults.add({ kind: 'refusal_text', times: 1 })
  const reply = await app.inject(form(image(await solid('red'))))
  t.equal(reply.statusCode, 502)
  t.match(reply.json(), { error: 'gemini_bad_answer' })
})

t.test('a form with the names of prototypes changes nothing, and is no 5xx', async (t) => {
  const { app, emulator } = await build(t)
  for (const name of ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty']) {
    const field = await app.inject(form({ name, content: '{"polluted":true}' }))
    const file = await app.inject(form({ ...image('not an image'), name }))
    for (const reply of [field, file]) {
      t.equal(reply.statusCode, 400, name)
      t.match(reply.json(), { error: 'invalid_input' }, name)
    }
  }
  t.equal(({} as { polluted?: boolean }).polluted, undefined)
  t.equal(emulator.counters().admitted, 0)
})
