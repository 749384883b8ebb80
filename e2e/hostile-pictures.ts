import { crc32, deflateSync } from 'node:zlib'

/** Pictures made by hand, most of them not what they say. */

function pngChunk(type: string, content: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), content])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  const check = Buffer.alloc(4)
  check.writeUInt32BE(crc32(named))
  return Buffer.concat([length, named, check])
}

/** 8-bit grey, every pixel 0; `rows` of them are really there. */
export function png(
  width: number,
  height: number,
  { rows = height, extra = Buffer.alloc(0) }: { rows?: number; extra?: Buffer } = {},
): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.writeUInt8(8, 8)
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', header),
    extra,
    pngChunk('IDAT', deflateSync(Buffer.alloc(rows * (width + 1)))),
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

function riffChunk(type: string, content: Buffer): Buffer {
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
