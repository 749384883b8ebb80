import { crc32, deflateSync } from 'node:zlib'
import sharp, { type Sharp } from 'sharp'
import t from 'tap'
import { maxPixels, PictureError, type PictureFormat, preparePicture } from '../src/picture.ts'

type Rgb = { r: number; g: number; b: number }
const red: Rgb = { r: 220, g: 20, b: 20 }
const blue: Rgb = { r: 20, g: 20, b: 220 }

/** The left half red, the right half blue. */
function halves(width: number, height: number): Sharp {
  const half = { create: { width: width / 2, height, channels: 3 as const, background: red } }
  return sharp({ create: { width, height, channels: 3, background: blue } }).composite([
    { input: half, left: 0, top: 0 },
  ])
}

/** Noise, so that compressed sizes are those of a photograph. */
async function photograph(format: PictureFormat, side = 400): Promise<Buffer> {
  const noise = { type: 'gaussian' as const, mean: 128, sigma: 40 }
  return sharp({ create: { width: side, height: side, channels: 3, background: red, noise } })
    .toFormat(format)
    .toBuffer()
}

async function pixelAt(bytes: Uint8Array, x: number, y: number): Promise<'red' | 'blue' | 'other'> {
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true })
  const at = (y * info.width + x) * info.channels
  const near = (colour: Rgb) =>
    [colour.r, colour.g, colour.b].every((value, i) => Math.abs((data[at + i] ?? -1) - value) < 40)
  return near(red) ? 'red' : near(blue) ? 'blue' : 'other'
}

async function problemOf(bytes: Uint8Array): Promise<PictureError> {
  try {
    await preparePicture(bytes)
  } catch (error) {
    if (error instanceof PictureError) return error
    throw error
  }
  throw new Error('the picture was accepted')
}

for (const format of ['png', 'jpeg', 'gif', 'webp'] as const) {
  t.test(`accepts a ${format} and says what it was`, async (t) => {
    const prepared = await preparePicture(await halves(600, 400).toFormat(format).toBuffer())
    t.match(prepared, { format, mimeType: 'image/jpeg', width: 600, height: 400 })
    t.match(await sharp(prepared.bytes).metadata(), { format: 'jpeg', width: 600, height: 400 })
    t.equal(await pixelAt(prepared.bytes, 100, 200), 'red')
    t.equal(await pixelAt(prepared.bytes, 500, 200), 'blue')
  })

  t.test(`a ${format} cut off anywhere is broken`, async (t) => {
    const whole = await photograph(format)
    for (const share of [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97]) {
      const { problem, message } = await problemOf(whole.subarray(0, Math.floor(whole.length * share)))
      t.equal(problem, 'broken', `${share * 100} %`)
      t.match(message, /damaged or incomplete\. Save it again/)
    }
  })
}

t.test('scales down to 1024 pixels on the longer side, never up', async (t) => {
  const sizes: [from: [number, number], to: [number, number]][] = [
    [
      [3000, 2000],
      [1024, 683],
    ],
    [
      [1000, 4000],
      [256, 1024],
    ],
    [
      [1024, 1024],
      [1024, 1024],
    ],
    [
      [30, 20],
      [30, 20],
    ],
    [
      [20_000, 4],
      [1024, 1],
    ],
  ]
  for (const [[width, height], [toWidth, toHeight]] of sizes) {
    const prepared = await preparePicture(await halves(width, height).png().toBuffer())
    t.match(prepared, { width: toWidth, height: toHeight })
    t.match(await sharp(prepared.bytes).metadata(), { width: toWidth, height: toHeight })
  }
})

t.test('turns the picture upright by its EXIF orientation', async (t) => {
  // [orientation, where the stored left half (red) is seen: x, y of a point in it]
  const seen: [orientation: number, redX: number, redY: number, blueX: number, blueY: number][] = [
    [1, 20, 40, 180, 40],
    [2, 180, 40, 20, 40],
    [3, 180, 40, 20, 40],
    [4, 20, 40, 180, 40],
    [5, 40, 20, 40, 180],
    [6, 40, 20, 40, 180],
    [7, 40, 180, 40, 20],
    [8, 40, 180, 40, 20],
  ]
  for (const [orientation, redX, redY, blueX, blueY] of seen) {
    const prepared = await preparePicture(await halves(200, 80).jpeg().withMetadata({ orientation }).toBuffer())
    const [width, height] = orientation < 5 ? [200, 80] : [80, 200]
    t.match(prepared, { width, height }, `orientation ${orientation}`)
    t.equal(await pixelAt(prepared.bytes, redX, redY), 'red', `orientation ${orientation}`)
    t.equal(await pixelAt(prepared.bytes, blueX, blueY), 'blue', `orientation ${orientation}`)
    t.equal((await sharp(prepared.bytes).metadata()).orientation, undefined)
  }
})

t.test('no metadata survives: no GPS position, camera, XMP or profile', async (t) => {
  const exif = {
    IFD0: { Artist: 'Ada Lovelace', Make: 'CameraMaker' },
    IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '51/1 30/1 0/1', GPSLongitudeRef: 'W', GPSLongitude: '0/1 7/1 0/1' },
  }
  const xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><secret>home address</secret></x:xmpmeta>'
  for (const format of ['jpeg', 'png', 'webp'] as const) {
    const upload = await halves(200, 100).withExif(exif).withXmp(xmp).withIccProfile('p3').toFormat(format).toBuffer()
    const before = await sharp(upload).metadata()
    t.ok(before.exif && before.icc && before.xmp, `the ${format} upload has them`)
    t.ok(upload.includes('Ada Lovelace'))
    const { bytes } = await preparePicture(upload)
    const { exif: noExif, icc, xmp: noXmp, iptc, comments } = await sharp(bytes).metadata()
    t.same([noExif, icc, noXmp, iptc, comments], [undefined, undefined, undefined, undefined, undefined], format)
    t.notOk(Buffer.from(bytes).includes('Ada Lovelace'))
  }
})

t.test('colours of another profile are converted to sRGB, not just relabelled', async (t) => {
  const colour = { r: 200, g: 60, b: 60 }
  const upload = await sharp({ create: { width: 64, height: 64, channels: 3, background: colour } })
    .withIccProfile('p3')
    .png()
    .toBuffer()
  const stored = await sharp(upload, {}).keepIccProfile().raw().toBuffer()
  const { bytes } = await preparePicture(upload)
  const shown = await sharp(bytes).raw().toBuffer()
  t.ok(Math.abs((shown[0] ?? 0) - colour.r) <= 4, `red ${shown[0]}`)
  t.not(stored[0], shown[0], 'the P3 numbers differ from the sRGB ones')
})

t.test('a CMYK photograph becomes sRGB', async (t) => {
  const upload = await halves(200, 100).toColourspace('cmyk').jpeg().toBuffer()
  t.equal((await sharp(upload).metadata()).space, 'cmyk')
  const { bytes } = await preparePicture(upload)
  t.match(await sharp(bytes).metadata(), { space: 'srgb', channels: 3 })
})

t.test('sixteen bits and grey are welcome', async (t) => {
  const deep = await halves(100, 50).toColourspace('rgb16').png().toBuffer()
  t.equal((await sharp(deep).metadata()).depth, 'ushort')
  t.equal(await pixelAt((await preparePicture(deep)).bytes, 10, 10), 'red')
  const grey = await halves(100, 50).greyscale().png().toBuffer()
  t.match(await preparePicture(grey), { mimeType: 'image/jpeg', width: 100 })
})

t.test('what is transparent stays a PNG, an opaque alpha channel does not', async (t) => {
  const background = { ...red, alpha: 0.5 }
  const clear = { create: { width: 2000, height: 100, channels: 4 as const, background } }
  for (const format of ['png', 'webp', 'gif'] as const) {
    const prepared = await preparePicture(
      await sharp({ ...clear, create: { ...clear.create, background: { ...red, alpha: 0 } } })
        .toFormat(format)
        .toBuffer(),
    )
    t.match(prepared, { mimeType: 'image/png', width: 1024, format })
    t.match(await sharp(prepared.bytes).metadata(), { format: 'png', hasAlpha: true })
  }
  const opaque = await halves(200, 100).ensureAlpha(1).png().toBuffer()
  t.equal((await sharp(opaque).metadata()).hasAlpha, true)
  t.equal((await preparePicture(opaque)).mimeType, 'image/jpeg')
})

for (const format of ['gif', 'webp'] as const) {
  t.test(`of an animated ${format} only the first frame is decoded`, async (t) => {
    const frames = await Promise.all(
      [red, blue, { r: 20, g: 220, b: 20 }].map((background) =>
        sharp({ create: { width: 80, height: 60, channels: 3, background } })
          .png()
          .toBuffer(),
      ),
    )
    const animated = await sharp(frames, { join: { animated: true } })
      .toFormat(format)
      .toBuffer()
    t.equal((await sharp(animated).metadata()).pages, 3)
    const prepared = await preparePicture(animated)
    t.match(prepared, { width: 80, height: 60, format })
    t.equal(await pixelAt(prepared.bytes, 40, 30), 'red')
  })
}

t.test('frames do not add up, and what is in a later one is never read', async (t) => {
  const [side, count] = [1500, 30]
  const still = await halves(side, side).gif({ dither: 0 }).toBuffer()
  const start = still.indexOf(Buffer.from([0x21, 0xf9])) // the graphic control block that begins a frame
  const frame = still.subarray(start, -1)
  const unreadable = Buffer.from(frame)
  for (let i = frame.length - 200; i < frame.length - 100; i += 1) unreadable[i] = 0xff ^ (unreadable[i] ?? 0)
  const later = Array.from({ length: count - 1 }, () => unreadable)
  const animated = Buffer.concat([still.subarray(0, start), frame, ...later, still.subarray(-1)])
  const { pages = 0 } = await sharp(animated).metadata()
  t.ok(pages * side * side > maxPixels, `${pages} frames`)
  await t.rejects(sharp(animated, { animated: true, failOn: 'error' }).raw().toBuffer(), 'all frames cannot be read')
  const prepared = await preparePicture(animated)
  t.match(prepared, { width: 1024, height: 1024 })
  t.equal(await pixelAt(prepared.bytes, 200, 500), 'red')
})

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length)
  const check = Buffer.alloc(4)
  check.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, check])
}

function pngOf(width: number, height: number): Buffer {
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0])
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1')
  const pixels = deflateSync(Buffer.alloc(1000))
  return Buffer.concat([
    signature,
    pngChunk('IHDR', header),
    pngChunk('IDAT', pixels),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}

/** A real 8 × 8 picture whose header is patched to claim another size. */
async function jpegClaiming(width: number, height: number): Promise<Buffer> {
  const jpeg = await sharp({ create: { width: 8, height: 8, channels: 3, background: red } })
    .jpeg()
    .toBuffer()
  const frame = jpeg.indexOf(Buffer.from([0xff, 0xc0]))
  jpeg.writeUInt16BE(height, frame + 5)
  jpeg.writeUInt16BE(width, frame + 7)
  return jpeg
}

async function gifClaiming(width: number, height: number): Promise<Buffer> {
  const gif = await sharp({ create: { width: 8, height: 8, channels: 3, background: red } })
    .gif()
    .toBuffer()
  gif.writeUInt16LE(width, 6)
  gif.writeUInt16LE(height, 8)
  const frame = gif.indexOf(Buffer.from([0x2c, 0, 0, 0, 0, 8, 0, 8, 0]))
  gif.writeUInt16LE(width, frame + 5)
  gif.writeUInt16LE(height, frame + 7)
  return gif
}

/** A lossless WebP's size is two 14-bit fields after its one-byte signature. */
async function webpClaiming(width: number, height: number): Promise<Buffer> {
  const webp = await sharp({ create: { width: 8, height: 8, channels: 3, background: red } })
    .webp({ lossless: true })
    .toBuffer()
  const at = webp.indexOf('VP8L') + 9
  const rest = webp.readUInt32LE(at) & 0xf0000000
  webp.writeUInt32LE((rest | ((height - 1) << 14) | (width - 1)) >>> 0, at)
  return webp
}

const bombs: [format: string, bomb: () => Buffer | Promise<Buffer>, size: RegExp][] = [
  ['PNG', () => pngOf(60_000, 60_000), /60000 × 60000/],
  ['PNG just over', () => pngOf(10_000, 5001), /10000 × 5001/],
  ['JPEG', () => jpegClaiming(65_000, 65_000), /65000 × 65000/],
  ['GIF', () => gifClaiming(65_535, 65_535), /65535 × 65535/],
  ['WebP', () => webpClaiming(16_383, 16_383), /16383 × 16383/],
]

for (const [name, bomb, size] of bombs) {
  t.test(`refuses a small ${name} that claims too many pixels, from its header`, async (t) => {
    const bytes = await bomb()
    t.ok(bytes.length < 1000)
    const before = process.resourceUsage().maxRSS
    const { problem, message } = await problemOf(bytes)
    t.equal(problem, 'too_many_pixels')
    t.match(message, size)
    t.match(message, /at most 50 megapixels/)
    const grownKib = process.resourceUsage().maxRSS - before
    t.ok(grownKib < 100 * 1024, `decoding would take gigabytes; it took ${grownKib} KiB`)
  })
}

t.test('a PNG of exactly 50 megapixels is within the limit', async (t) => {
  t.equal((await problemOf(pngOf(10_000, 5000))).problem, 'broken', 'its pixels are missing, but its size is allowed')
})

const others: [name: string, bytes: Buffer | string, says: RegExp][] = [
  ['a text file named .png', 'just some words', /^This file is not a picture of a supported type/],
  ['an SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>', /^This is an SVG drawing/],
  ['an SVG with a prologue', '<?xml version="1.0"?><svg></svg>', /SVG drawing/],
  ['a HEIC photo', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1'), /HEIC photo/],
  ['a PDF', '%PDF-1.7\n', /PDF document/],
  ['a BMP', 'BM\0\0\0\0\0\0', /BMP picture/],
  ['a RIFF that is sound', 'RIFF\x24\0\0\0WAVEfmt ', /not a picture of a supported type/],
  ['half a signature', '\x89PNG', /not a picture of a supported type/],
]

for (const [name, content, says] of others) {
  t.test(`refuses ${name} by its content`, async (t) => {
    const { problem, message } = await problemOf(Buffer.from(content as string, 'latin1'))
    t.equal(problem, 'unsupported_type')
    t.match(message, says)
    t.match(message, /Send a PNG, JPEG, GIF or WebP picture\.$/)
  })
}

t.test('refuses pictures that sharp could read but that were not asked for', async (t) => {
  for (const format of ['tiff', 'avif'] as const) {
    const { problem, message } = await problemOf(await halves(20, 20).toFormat(format).toBuffer())
    t.equal(problem, 'unsupported_type')
    t.match(message, new RegExp(format, 'i'))
  }
})

t.test('an empty upload is told so', async (t) => {
  const { problem, message } = await problemOf(new Uint8Array())
  t.equal(problem, 'empty')
  t.match(message, /Choose a file/)
})

t.test('a signature and nothing else is broken', async (t) => {
  for (const signature of ['\x89PNG\r\n\x1a\n', '\xff\xd8\xff', 'GIF89a', 'RIFF\0\0\0\0WEBP']) {
    t.equal((await problemOf(Buffer.from(signature, 'latin1'))).problem, 'broken')
  }
})

t.test('whatever the bytes are, only PictureError comes out', async (t) => {
  const random = mulberry32(20_261_122)
  const seeds = await Promise.all((['png', 'jpeg', 'gif', 'webp'] as const).map((format) => photograph(format, 32)))
  const signatures = seeds.map((seed) => seed.subarray(0, 12))
  let refused = 0
  const runs = 600
  for (let run = 0; run < runs; run += 1) {
    const bytes = run % 3 === 0 ? randomTail(signatures[run % 4], random) : mutated(seeds[run % 4], random)
    const outcome = await preparePicture(bytes).catch((error: unknown) => error)
    if (outcome instanceof Error) {
      refused += 1
      if (!(outcome instanceof PictureError)) t.fail(`run ${run}: ${outcome}`)
    }
  }
  t.ok(refused > runs / 3 && refused < runs, `${refused} of ${runs} refused: some mutations hurt, some do not`)
})

function mutated(seed: Buffer | undefined, random: () => number): Buffer {
  const bytes = Buffer.from(seed ?? [])
  for (let change = 0; change <= random() * 8; change += 1) {
    bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
  }
  return random() < 0.3 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes
}

function randomTail(signature: Buffer | undefined, random: () => number): Buffer {
  const tail = Buffer.from(Array.from({ length: Math.floor(random() * 300) }, () => Math.floor(random() * 256)))
  return Buffer.concat([signature ?? Buffer.alloc(0), tail])
}

// A small seeded generator, so that a failing run can be repeated.
function mulberry32(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
