import { crc32, deflateSync } from 'node:zlib'

/** Images made by hand, most of them not what their headers say. */

export function pngChunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  const check = Buffer.alloc(4)
  check.writeUInt32BE(crc32(named))
  return Buffer.concat([length, named, check])
}

interface PngOptions {
  /** How many are really there. */
  rows?: number
  /** Chunks between header and pixels. */
  extra?: Buffer
  /** Bits a sample. */
  depth?: 8 | 16
  kind?: keyof typeof pngKinds
  interlaced?: boolean
}

/** The number in the header, and the samples a pixel. */
const pngKinds = { grey: [0, 1], rgb: [2, 3], rgba: [6, 4] } as const
/** Of each pass: first column and row, and the distance to the next. */
const adam7 = [
  [0, 0, 8, 8],
  [4, 0, 8, 8],
  [0, 4, 4, 8],
  [2, 0, 4, 4],
  [0, 2, 2, 4],
  [1, 0, 2, 2],
  [0, 1, 1, 2],
] as const

/** Every sample is 0; grey in 8 bits unless told otherwise. */
export function png(width: number, height: number, options: PngOptions = {}): Buffer {
  const { rows = height, extra = Buffer.alloc(0), depth = 8, kind = 'grey', interlaced = false } = options
  const [colourType, samples] = pngKinds[kind]
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.writeUInt8(depth, 8)
  header.writeUInt8(colourType, 9)
  header.writeUInt8(interlaced ? 1 : 0, 12)
  const sizeOf = (columns: number, lines: number) =>
    columns > 0 ? Math.max(0, lines) * (1 + (columns * samples * depth) / 8) : 0
  const passes: readonly (readonly [number, number, number, number])[] = interlaced ? adam7 : [[0, 0, 1, 1]]
  const sizes = passes.map(([x, y, dx, dy]) => sizeOf(Math.ceil((width - x) / dx), Math.ceil((rows - y) / dy)))
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', header),
    extra,
    pngChunk('IDAT', deflateSync(Buffer.alloc(sizes.reduce((sum, size) => sum + size, 0)))),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}

/** A compressed text or colour profile that takes `megabytes` once it is inflated, a thousandth of it before. */
export function pngBomb(type: 'zTXt' | 'iCCP', megabytes: number): Buffer {
  const inflated = Buffer.alloc(megabytes * 1024 * 1024, type === 'zTXt' ? 'a' : 0)
  return pngChunk(type, Buffer.concat([Buffer.from('bomb\0\0', 'latin1'), deflateSync(inflated)]))
}

/** A screen of one size and a frame of another, with the code for one pixel. */
export function gif(screen: [width: number, height: number], frame: [width: number, height: number]): Buffer {
  const size = ([width, height]: [number, number]) => {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt16LE(width, 0)
    bytes.writeUInt16LE(height, 2)
    return bytes
  }
  return Buffer.concat([
    Buffer.from('GIF89a', 'latin1'),
    size(screen),
    Buffer.from([0x80, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff]), // two colours
    Buffer.from([0x2c, 0, 0, 0, 0]),
    size(frame),
    Buffer.from([0, 2, 2, 0x44, 0x01, 0, 0x3b]),
  ])
}

/** A JPEG of that size whose scan is empty. */
export function jpeg(width: number, height: number): Buffer {
  const frame = Buffer.from([0xff, 0xc0, 0, 11, 8, 0, 0, 0, 0, 1, 1, 0x11, 0])
  frame.writeUInt16BE(height, 5)
  frame.writeUInt16BE(width, 7)
  const quantisation = Buffer.concat([Buffer.from([0xff, 0xdb, 0, 67, 0]), Buffer.alloc(64, 1)])
  const scan = Buffer.from([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0])
  return Buffer.concat([Buffer.from([0xff, 0xd8]), quantisation, frame, scan, Buffer.from([0xff, 0xd9])])
}

/** Segment of a JPEG. */
function segment(marker: number, content: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, 0])
  head.writeUInt16BE(content.length + 2, 2)
  return Buffer.concat([head, content])
}

interface ProgressiveOptions {
  components?: 1 | 3 | 4
  /** Over the whole image, after the one that begins it: a few bytes each. */
  scans?: number
}

/** A sound progressive JPEG without detail. Its codes are of one bit, so that zeros say: nothing in the next 16,384 blocks. */
export function progressiveJpeg(width: number, height: number, options: ProgressiveOptions = {}): Buffer {
  const { components = 1, scans = 1 } = options
  const ids = Array.from({ length: components }, (_, n) => n + 1)
  const blocks = Math.ceil(width / 8) * Math.ceil(height / 8)
  const frame = Buffer.from([8, 0, 0, 0, 0, components, ...ids.flatMap((id) => [id, 0x11, 0])])
  frame.writeUInt16BE(height, 1)
  frame.writeUInt16BE(width, 3)
  const oneCode = (table: number, symbol: number) =>
    segment(0xc4, Buffer.from([table, 1, ...Array<number>(15).fill(0), symbol]))
  const first = segment(0xda, Buffer.from([components, ...ids.flatMap((id) => [id, 0]), 0, 0, 0]))
  const later = segment(0xda, Buffer.from([1, 1, 0, 1, 63, 0]))
  const scan = Buffer.concat([later, Buffer.alloc(Math.ceil((Math.ceil(blocks / 16_384) * 15) / 8))])
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, Buffer.concat([Buffer.from([0]), Buffer.alloc(64, 1)])),
    segment(0xc2, frame),
    oneCode(0x00, 0),
    oneCode(0x10, 0xe0),
    first,
    Buffer.alloc(Math.ceil((blocks * components) / 8)),
    ...Array<Buffer>(scans).fill(scan),
    Buffer.from([0xff, 0xd9]),
  ])
}

export function riffChunk(type: string, content: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(content.length)
  return Buffer.concat([Buffer.from(type, 'latin1'), length, content, Buffer.alloc(content.length % 2)])
}

/** A lossless WebP of that size without a pixel. */
export function webp(width: number, height: number): Buffer {
  const size = Buffer.alloc(10)
  size.writeUInt8(0x2f)
  size.writeUInt32LE((width - 1) | ((height - 1) << 14), 1)
  return riffChunk('RIFF', Buffer.concat([Buffer.from('WEBP', 'latin1'), riffChunk('VP8L', size)]))
}

/** An animated WebP with that many frames of one pixel, which are not there. */
export function webpFrames(count: number): Buffer {
  const header = Buffer.alloc(10)
  header.writeUInt8(2) // animated
  const frame = riffChunk(
    'ANMF',
    Buffer.concat([Buffer.alloc(16), riffChunk('VP8L', Buffer.from('2f00000000', 'hex'))]),
  )
  const chunks = [riffChunk('VP8X', header), riffChunk('ANIM', Buffer.alloc(6)), ...Array<Buffer>(count).fill(frame)]
  return riffChunk('RIFF', Buffer.concat([Buffer.from('WEBP', 'latin1'), ...chunks]))
}
