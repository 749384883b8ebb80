import sharp from 'sharp'
import t from 'tap'
import { barsOf, numberOf } from '../../src/content/bar-code.ts'
import { draw } from '../../src/content/drawing.ts'
import { tellPictureTopic } from '../../src/content/picture-topic.ts'

const SVG_OPEN = '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="300"><rect width="300" height="300" fill='

function picture(background: string, shape: string, size: [number, number] = [300, 300]): Promise<Buffer> {
  return sharp(Buffer.from(`${SVG_OPEN}"${background}"/>${shape}</svg>`))
    .resize(...size, { fit: 'fill' })
    .png()
    .toBuffer()
}

function barCode(number: number): Promise<Buffer> {
  const rows = Buffer.concat(
    Array.from({ length: 64 }, () => Buffer.from(barsOf(number).map((bar) => (bar ? 0 : 255)))),
  )
  return sharp(rows, { raw: { width: 32, height: 64, channels: 1 } })
    .resize(256, 64, { kernel: 'nearest', fit: 'fill' })
    .png()
    .toBuffer()
}

t.test('tells the colour, the shape and the background of a picture', async (t) => {
  const cases: [Promise<Buffer>, string][] = [
    [picture('white', '<rect x="80" y="80" width="120" height="120" fill="#d00"/>'), 'Red square on white'],
    [picture('#002', '<circle cx="150" cy="150" r="90" fill="gold"/>'), 'Yellow circle on black'],
    [picture('white', '<polygon points="150,40 270,250 30,250" fill="#2b2"/>'), 'Green triangle on white'],
    [picture('#eee', '<rect x="20" y="120" width="260" height="50" fill="#22d"/>'), 'Blue rectangle on white'],
    [picture('#36c', ''), 'Plain blue surface'],
  ]
  for (const [bytes, topic] of cases) t.equal(await tellPictureTopic(await bytes, 'en'), topic)
})

t.test('tells the same of the same picture, in any format', async (t) => {
  const png = await picture('white', '<circle cx="150" cy="150" r="90" fill="#d00"/>')
  const jpeg = await sharp(png).jpeg().toBuffer()
  const webp = await sharp(png).webp().toBuffer()
  for (const bytes of [png, png, jpeg, webp]) t.equal(await tellPictureTopic(bytes, 'en'), 'Red circle on white')
})

t.test('answers in the asked language, in one to ten words', async (t) => {
  const square = await picture('white', '<rect x="80" y="80" width="120" height="120" fill="#d00"/>')
  t.equal(await tellPictureTopic(square, 'es'), 'Cuadrado rojo sobre fondo blanco')
  t.equal(await tellPictureTopic(square, 'fr'), 'Carré rouge sur fond blanc')
  t.equal(await tellPictureTopic(square, 'de'), 'Quadrat in Rot auf Weiß')
  t.equal(await tellPictureTopic(square, 'zh'), '白色背景上的红色正方形')
  for (const language of ['en', 'es', 'fr', 'de', 'zh', 'ja', 'ar', 'he', 'tlh']) {
    const scene = await sharp({
      create: {
        width: 90,
        height: 60,
        channels: 3,
        background: 'grey',
        noise: { type: 'gaussian', mean: 128, sigma: 90 },
      },
    })
      .png()
      .toBuffer()
    const topic = await tellPictureTopic(scene, language)
    t.notMatch(topic, /[{}]/)
    t.ok(topic.split(/\s+/).length <= 10, topic)
  }
})

t.test('throws for what is no picture, or is cut off', async (t) => {
  const whole = await picture('white', '<circle cx="150" cy="150" r="90" fill="#d00"/>')
  await t.rejects(tellPictureTopic(Buffer.from('no picture'), 'en'))
  await t.rejects(tellPictureTopic(whole.subarray(0, whole.length / 2), 'en'))
})

t.test('draws the words of the prompt in white, the same picture for the same prompt', async (t) => {
  const first = await draw('A red <cube> & "friends"', '1:1', 'png')
  const again = await draw('A red <cube> & "friends"', '1:1', 'png')
  t.ok(first.bytes.equals(again.bytes))
  t.ok((await whiteShare(first.bytes)) > 0.01, 'letters are visible')
  t.ok((await whiteShare((await draw(' ', '1:1', 'png')).bytes)) < 0.001, 'and nothing else is white')
  const other = await draw('Something else', '1:1', 'png')
  t.notOk(first.bytes.equals(other.bytes))
})

t.test('draws any prompt: long, in any script, with control characters', async (t) => {
  for (const prompt of [
    'word '.repeat(200),
    'x'.repeat(500),
    'שלום مرحبا',
    'a\u0000\u0007b',
    '\u200b\u0001',
    '&lt;b&gt; <b>',
    '😀'.repeat(100),
  ]) {
    const { bytes } = await draw(prompt, '16:9', 'png')
    const { width, height } = await sharp(bytes).metadata()
    t.same([width, height], [1344, 768], JSON.stringify(prompt.slice(0, 20)))
  }
})

t.test('mixed formats depend on the prompt and are true to their bytes', async (t) => {
  const drawn = await Promise.all(Array.from({ length: 12 }, (_, i) => draw(`Prompt ${i}`, '1:1', 'mixed')))
  t.same(new Set(drawn.map(({ mimeType }) => mimeType)), new Set(['image/png', 'image/jpeg']))
  for (const { bytes, mimeType } of drawn) t.equal(`image/${(await sharp(bytes).metadata()).format}`, mimeType)
})

async function whiteShare(bytes: Buffer): Promise<number> {
  const pixels = await sharp(bytes).removeAlpha().raw().toBuffer()
  let white = 0
  for (let at = 0; at < pixels.length; at += 3) {
    if (pixels.subarray(at, at + 3).every((channel) => channel > 240)) white += 1
  }
  return white / (pixels.length / 3)
}

t.test('reads the number of a bar code that fills the picture, also after JPEG', async (t) => {
  for (const number of [0, 1, 4711, 8_388_608, 16_777_215]) {
    const png = await barCode(number)
    t.equal(await tellPictureTopic(png, 'en'), `Bar code ${number}`)
    t.equal(await tellPictureTopic(await sharp(png).jpeg({ quality: 85 }).toBuffer(), 'de'), `Strichcode ${number}`)
  }
  t.equal(numberOf(barsOf(4711).with(20, !barsOf(4711)[20])), undefined, 'a wrong bar is noticed')
  t.throws(() => barsOf(16_777_216), { name: 'RangeError' })
})

t.test('a drawn picture says in its Exif description what it was drawn for', async (t) => {
  for (const format of ['png', 'jpeg'] as const) {
    for (const prompt of ['A leaf of "Topic-4711" & more', 'Ein Baum für 東京', ' \u0000\u0007']) {
      const { bytes } = await draw(prompt, '1:1', format)
      const { exif = Buffer.alloc(0) } = await sharp(bytes).metadata()
      t.ok(exif.includes(encodeURIComponent(prompt)), `${format}: ${prompt}`)
    }
  }
})

t.test('draws a sole sign that Pango makes larger than the picture: it was a 500', async (t) => {
  for (const prompt of ['_', 'ـ', '_ _', '—'])
    t.match(await sharp((await draw(prompt, '1:1', 'png')).bytes).metadata(), { width: 1024, height: 1024 }, prompt)
})
