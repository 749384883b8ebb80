import { crc32, deflateSync } from 'node:zlib'
import sharp from 'sharp'
import t from 'tap'
import { webpFrames, withoutTexts } from '../src/containers.ts'
import { maxFrames, PictureError, preparePicture } from '../src/picture.ts'

const still = (format: 'png' | 'webp') =>
  sharp({ create: { width: 8, height: 8, channels: 3, background: 'teal' } })
    .toFormat(format)
    .toBuffer()

function pngChunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content])
  const numbers = Buffer.alloc(8)
  numbers.writeUInt32BE(content.length, 0)
  numbers.writeUInt32BE(crc32(named), 4)
  return Buffer.concat([numbers.subarray(0, 4), named, numbers.subarray(4)])
}

function riffChunk(type: string, content: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(content.length)
  return Buffer.concat([Buffer.from(type, 'latin1'), length, content, Buffer.alloc(content.length % 2)])
}

const headEnd = 33 // the signature and the header chunk

t.test('texts that would inflate to a gigabyte are left out before the PNG is opened', async (t) => {
  const png = await still('png')
  const inflatesTo40Megabytes = Buffer.concat([Buffer.from('Comment\0\0'), deflateSync(Buffer.alloc(40_000_000, 'a'))])
  const texts = Array<Buffer>(25).fill(pngChunk('zTXt', inflatesTo40Megabytes))
  const bomb = Buffer.concat([png.subarray(0, headEnd), ...texts, png.subarray(headEnd)])
  const before = process.resourceUsage().maxRSS
  t.match(await preparePicture(bomb), { width: 8, height: 8, format: 'png' })
  const grownKib = process.resourceUsage().maxRSS - before
  t.ok(grownKib < 200 * 1024, `it took ${grownKib} KiB`)
})

t.test('of a PNG only its texts are left out, wherever they are, and what is broken stays broken', async (t) => {
  const png = await still('png')
  const text = (type: string) => pngChunk(type, Buffer.from('Comment\0hello'))
  const end = png.length - 12
  const scattered = [png.subarray(0, headEnd), text('tEXt'), text('iTXt'), png.subarray(headEnd, end), text('zTXt')]
  t.same(withoutTexts(Buffer.concat([...scattered, png.subarray(end)])), png)
  t.equal(withoutTexts(png), png, 'the very same when there is none')
  for (const broken of [
    Buffer.alloc(0),
    png.subarray(0, 20),
    Buffer.concat([png.subarray(0, 8), Buffer.alloc(12, 0xff)]),
  ]) {
    t.same(withoutTexts(broken), broken)
  }
})

t.test('a WebP of more frames than anybody watches is refused before it is opened', async (t) => {
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
  t.equal(webpFrames(animated(3)), 3)
  t.equal(webpFrames(await still('webp')), 0)
  t.match(await preparePicture(animated(maxFrames)), { width: 8, height: 8, format: 'webp' })
  const error = await preparePicture(animated(maxFrames + 1)).catch((thrown: unknown) => thrown)
  t.ok(error instanceof PictureError)
  t.match(error, { problem: 'too_many_frames', message: /1001 frames\. Send one of at most 1000\.$/ })
})
