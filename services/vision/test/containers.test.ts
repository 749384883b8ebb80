import { deflateSync } from 'node:zlib'
import { hostileImages } from '@knowalledge/testing'
import sharp, { type JpegOptions } from 'sharp'
import t from 'tap'
import { checkWebpFrames, jpegLayout, withoutExtras } from '../src/containers.ts'
import { maxChunks, maxFrames, maxMetadataBytes, maxScans } from '../src/limits.ts'
import { halves, prepareImage } from './images.ts'

const { png, pngChunk, progressiveJpeg, riffChunk } = hostileImages

const still = (format: 'png' | 'webp') =>
  sharp({ create: { width: 8, height: 8, channels: 3, background: 'teal' } })
    .toFormat(format)
    .toBuffer()

const headEnd = 33 // the signature and the header chunk

t.test('drops texts that would inflate to a gigabyte before the PNG is opened', async (t) => {
  const still8 = await still('png')
  const inflatesTo40Megabytes = Buffer.concat([Buffer.from('Comment\0\0'), deflateSync(Buffer.alloc(40_000_000, 'a'))])
  const texts = Array<Buffer>(25).fill(pngChunk('zTXt', inflatesTo40Megabytes))
  const bomb = Buffer.concat([still8.subarray(0, headEnd), ...texts, still8.subarray(headEnd)])
  const before = process.resourceUsage().maxRSS
  t.match(await prepareImage(bomb), { width: 8, height: 8, format: 'png' })
  const grownKib = process.resourceUsage().maxRSS - before
  t.ok(grownKib < 200 * 1024, `it took ${grownKib} KiB`)
})

t.test(
  'a PNG keeps what shows in it and loses the rest, wherever that is, and what is broken stays broken',
  async (t) => {
    const chunk = (type: string) => pngChunk(type, Buffer.from('Comment\0hello'))
    const plain = png(8, 8, { extra: Buffer.concat([chunk('iCCP'), chunk('tRNS'), chunk('eXIf')]) })
    const end = plain.length - 12
    const extras = ['tEXt', 'iTXt', 'zTXt', 'sPLT', 'hIST', 'tIME', 'acTL', 'abCd']
    const scattered = [plain.subarray(0, headEnd), ...extras.map(chunk), plain.subarray(headEnd, end), chunk('zTXt')]
    t.same(withoutExtras(Buffer.concat([...scattered, plain.subarray(end), Buffer.alloc(1_000_000)])), plain)
    t.equal(withoutExtras(plain).buffer, plain.buffer, 'no copy when there is nothing to drop')
    for (const broken of [
      Buffer.alloc(0),
      plain.subarray(0, 20),
      Buffer.concat([plain.subarray(0, 8), Buffer.alloc(16, 0xff)]),
    ]) {
      t.same(withoutExtras(broken), broken)
    }
  },
)

t.test('refuses a PNG of more chunks than the bound, and metadata beyond its bound', async (t) => {
  // Header, pixels and end are three more.
  const chunks = (count: number) => Buffer.concat(Array<Buffer>(count).fill(pngChunk('sPLT', Buffer.alloc(0))))
  t.match(await prepareImage(png(8, 8, { extra: chunks(maxChunks - 3) })), { width: 8 })
  await t.rejects(prepareImage(png(8, 8, { extra: chunks(maxChunks - 2) })), {
    problem: 'too_many_chunks',
    message: /more than 10000 chunks. Send one of at most 10000/,
  })
  const exif = (bytes: number) => pngChunk('eXIf', Buffer.alloc(bytes - 12))
  t.match(await prepareImage(png(8, 8, { extra: exif(maxMetadataBytes) })), { width: 8 })
  await t.rejects(prepareImage(png(8, 8, { extra: exif(maxMetadataBytes + 1) })), {
    problem: 'too_much_metadata',
    message: /1048577 bytes of metadata. Send one of at most 1048576/,
  })
})

t.test(
  'counts scans as a decoder meets them: not in Exif, after stuffing, in spite of fill bytes, up to the end',
  async (t) => {
    const start = Buffer.from([0xff, 0xda, 0, 2])
    const starts = Buffer.concat(Array<Buffer>(2 * maxScans).fill(start))
    const thumbnail = Buffer.from([0xff, 0xe1, 0, 0])
    thumbnail.writeUInt16BE(starts.length + 2, 2)
    const sound = progressiveJpeg(64, 64, { scans: maxScans - 1 })
    const withThumbnail = Buffer.concat([sound.subarray(0, 2), thumbnail, starts, sound.subarray(2), starts])
    t.match(jpegLayout(withThumbnail), { isBuffered: true, samplesPerPixel: 1 })
    const scan = Buffer.from([0xff, 0xff, 0xff, 0xda, 0, 2, 0xff, 0, 0xda, 0xff, 0xd3, 1])
    const filled = (count: number) => Buffer.concat([Buffer.from([0xff, 0xd8]), ...Array<Buffer>(count).fill(scan)])
    t.match(jpegLayout(filled(maxScans)), { isBuffered: true })
    t.throws(() => jpegLayout(filled(maxScans + 1)), /more than 64 scans/)
  },
)

t.test('a JPEG takes as many samples a pixel as its sampling factors say', async (t) => {
  const jpeg = (options: JpegOptions) => halves(64, 48).jpeg(options).toBuffer()
  t.same(jpegLayout(await jpeg({ chromaSubsampling: '4:2:0' })), { isBuffered: false, samplesPerPixel: 1.5 })
  t.same(jpegLayout(await jpeg({ chromaSubsampling: '4:4:4' })), { isBuffered: false, samplesPerPixel: 3 })
  t.same(jpegLayout(await jpeg({ progressive: true })), { isBuffered: true, samplesPerPixel: 1.5 })
  for (const broken of ['', '\xff', '\xff\xd8\xff', '\xff\xd8\xff\xc2\xff\xff', '\xff\xd8\xff\xc2\0\x11\x08'])
    t.ok(jpegLayout(Buffer.from(broken, 'latin1')))
})

t.test('refuses a WebP of more frames than the bound before it is opened', async (t) => {
  const pixels = (await still('webp')).subarray(12)
  const head = [Buffer.from('WEBP', 'latin1'), riffChunk('VP8X', Buffer.from([2, 0, 0, 0, 7, 0, 0, 7, 0, 0]))]
  const frame = riffChunk(
    'ANMF',
    Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 0, 7, 0, 0, 7, 0, 0, 100, 0, 0, 0]), pixels]),
  )
  const animated = (frames: number) =>
    riffChunk(
      'RIFF',
      Buffer.concat([...head, riffChunk('ANIM', Buffer.alloc(6)), ...Array<Buffer>(frames).fill(frame)]),
    )
  t.doesNotThrow(() => checkWebpFrames(animated(maxFrames)))
  t.match(await prepareImage(animated(maxFrames)), { width: 8, height: 8, format: 'webp' })
  await t.rejects(prepareImage(animated(maxFrames + 1)), {
    problem: 'too_many_frames',
    message: /1001 frames\. Send one of at most 1000\.$/,
  })
})
