import { hostileImages } from '@knowalledge/testing'
import sharp from 'sharp'
import t from 'tap'
import { ImageError } from '../src/image-error.ts'
import { maxScans } from '../src/limits.ts'
import { halves, photograph, prepareImage, problemOf, red } from './images.ts'

const { png, progressiveJpeg } = hostileImages

/** A real 8 × 8 image whose header is patched to claim another size. */
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
  ['PNG', () => png(60_000, 60_000, { rows: 1 }), /60000 × 60000/],
  ['PNG just over', () => png(10_000, 5001, { rows: 1 }), /10000 × 5001/],
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
  t.equal(
    (await problemOf(png(10_000, 5000, { rows: 1 }))).problem,
    'broken',
    'its pixels are missing, but its size is allowed',
  )
})

/** With the growth of the process's peak of memory. */
async function refusalOf(bytes: Buffer) {
  const before = process.resourceUsage().maxRSS
  const { problem, message } = await problemOf(bytes)
  return { problem, message, grownMebibytes: (process.resourceUsage().maxRSS - before) / 1024 }
}

t.test('refuses a JPEG of thousands of scans before the decoder goes over the image for each', async (t) => {
  const cpu = async (bytes: Buffer) => {
    const before = process.cpuUsage()
    const outcome = await problemOf(bytes).catch(() => undefined)
    const { user, system } = process.cpuUsage(before)
    return { outcome, micros: user + system }
  }
  const accepted = await cpu(progressiveJpeg(7_000, 7_000, { scans: maxScans - 1 }))
  t.equal(accepted.outcome, undefined, 'the bound itself is accepted')
  const { outcome, micros } = await cpu(progressiveJpeg(7_000, 7_000, { scans: 5_000 }))
  t.match(outcome, { problem: 'too_many_scans', message: /more than 64 scans\. Send one of at most 64/ })
  t.ok(micros < accepted.micros, `${micros} µs, and ${accepted.micros} µs for an image at the bound`)
})

const heavy: [name: string, bytes: () => Buffer, megabytes: RegExp][] = [
  [
    'an interlaced 16-bit PNG of 49 megapixels',
    () => png(7_000, 7_000, { depth: 16, kind: 'rgba', interlaced: true }),
    /takes 392 MB decoded\. Send one that takes at most 200 MB/,
  ],
  ['a 16-bit PNG of 49 megapixels', () => png(7_000, 7_000, { depth: 16, kind: 'rgb' }), /takes 294 MB/],
  ['a progressive JPEG without subsampling', () => progressiveJpeg(7_000, 7_000, { components: 3 }), /takes 294 MB/],
  ['a progressive CMYK JPEG', () => progressiveJpeg(7_000, 7_000, { components: 4 }), /takes 392 MB/],
]

for (const [name, bytes, megabytes] of heavy) {
  t.test(`refuses ${name} for what it takes decoded, from its header`, async (t) => {
    const { problem, message, grownMebibytes } = await refusalOf(bytes())
    t.equal(problem, 'too_many_decoded_bytes')
    t.match(message, megabytes)
    t.ok(grownMebibytes < 100, `it took ${grownMebibytes} MiB`)
  })
}

t.test('an image of 200 MB decoded is within the limit', async (t) => {
  for (const heaviest of [
    png(5_000, 5_000, { depth: 16, kind: 'rgba', interlaced: true }),
    progressiveJpeg(5_770, 5_770, { components: 3 }),
  ])
    t.match(await prepareImage(heaviest), { width: 1024, height: 1024 })
})

t.test('refuses a PNG of a million columns, whose rows would take gigabytes', async (t) => {
  const { problem, message, grownMebibytes } = await refusalOf(png(1_000_000, 50, { depth: 16, kind: 'rgba' }))
  t.equal(problem, 'too_many_pixels')
  t.match(message, /1000000 × 50 pixels\. Send one of at most 20000 pixels a side\.$/)
  t.ok(grownMebibytes < 100, `it took ${grownMebibytes} MiB`)
  t.match(await prepareImage(png(20_000, 4)), { width: 1024 })
  t.equal((await problemOf(png(4, 20_001))).problem, 'too_many_pixels')
})

const others: [name: string, bytes: Buffer | string, says: RegExp][] = [
  ['a text file named .png', 'just some words', /^This file is not an image of a supported type/],
  ['an SVG', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>', /^This is an SVG drawing/],
  ['an SVG with a prologue', '<?xml version="1.0"?><svg></svg>', /SVG drawing/],
  ['a HEIC photo', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1'), /HEIC photo/],
  ['a PDF', '%PDF-1.7\n', /PDF document/],
  ['a BMP', 'BM\0\0\0\0\0\0', /BMP image/],
  ['a RIFF that is sound', 'RIFF\x24\0\0\0WAVEfmt ', /not an image of a supported type/],
  ['half a signature', '\x89PNG', /not an image of a supported type/],
]

for (const [name, content, says] of others) {
  t.test(`refuses ${name} by its content`, async (t) => {
    const { problem, message } = await problemOf(Buffer.from(content as string, 'latin1'))
    t.equal(problem, 'unsupported_type')
    t.match(message, says)
    t.match(message, /Send a PNG, JPEG, GIF or WebP image\.$/)
  })
}

t.test('refuses images that sharp could read but that were not asked for', async (t) => {
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

t.test('whatever the bytes are, only ImageError comes out', async (t) => {
  const random = mulberry32(20_261_122)
  const seeds = await Promise.all((['png', 'jpeg', 'gif', 'webp'] as const).map((format) => photograph(format, 32)))
  const signatures = seeds.map((seed) => seed.subarray(0, 12))
  let refused = 0
  const runs = 600
  for (let run = 0; run < runs; run += 1) {
    const bytes = run % 3 === 0 ? randomTail(signatures[run % 4], random) : mutated(seeds[run % 4], random)
    const outcome = await prepareImage(bytes).catch((error: unknown) => error)
    if (outcome instanceof Error) {
      refused += 1
      if (!(outcome instanceof ImageError)) t.fail(`run ${run}: ${outcome}`)
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
