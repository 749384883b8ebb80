import sharp, { type OutputInfo } from 'sharp'
import { webpFrames, withoutTexts } from './containers.ts'

/** Upload limit; the caller refuses more before it is all read. */
export const maxImageBytes = 10 * 1024 * 1024
/** Width × height that is decoded at most, whatever the file's size: 50 megapixels. */
export const maxPixels = 50_000_000
/** Of an animated WebP, although only the first is looked at. */
export const maxFrames = 1_000

const maxSidePixels = 1024
const jpegQuality = 85
const decodeTimeoutSeconds = 20

// Process-wide: uploads never repeat, so a cache would only hold memory, and one thread per picture lets the caller's bound
// on pictures in flight be a bound on threads and memory.
sharp.cache(false)
sharp.concurrency(1)

export type PictureFormat = 'png' | 'jpeg' | 'gif' | 'webp'

export interface PreparedPicture {
  bytes: Uint8Array
  mimeType: 'image/jpeg' | 'image/png'
  width: number
  height: number
  /** What the upload was. */
  format: PictureFormat
}

export type PictureProblem = 'empty' | 'unsupported_type' | 'broken' | 'too_many_pixels' | 'too_many_frames'

/** A picture that cannot be used; the message says what the person who sent it can do. */
export class PictureError extends Error {
  readonly problem: PictureProblem

  constructor(problem: PictureProblem, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'PictureError'
    this.problem = problem
  }
}

/**
 * Makes an upload fit for the model: upright, sRGB, at most 1024 pixels on its longer side, the first frame, no metadata
 * (no GPS position). JPEG, or PNG when something is transparent. Throws only PictureError; writes nothing to disk.
 */
export async function preparePicture(bytes: Uint8Array): Promise<PreparedPicture> {
  if (bytes.length === 0) throw new PictureError('empty', 'The picture is empty. Choose a file with a picture in it.')
  const format = formatOf(bytes)
  if (format === undefined) throw unsupported(bytes)
  const file = safeToOpen(bytes, format)
  await checkHeader(file, format)
  try {
    return { ...(await encode(await decode(file))), format }
  } catch (cause) {
    throw broken(format, cause)
  }
}

/** The decoder reads more of a file than its header and its first frame, without a bound of its own. */
function safeToOpen({ buffer, byteOffset, byteLength }: Uint8Array, format: PictureFormat): Buffer {
  const file = Buffer.from(buffer, byteOffset, byteLength)
  if (format === 'png') return withoutTexts(file)
  const frames = format === 'webp' ? webpFrames(file) : 1
  if (frames <= maxFrames) return file
  throw new PictureError('too_many_frames', `The picture has ${frames} frames. Send one of at most ${maxFrames}.`)
}

async function checkHeader(bytes: Uint8Array, format: PictureFormat): Promise<void> {
  // Without a pixel limit of its own, since reading the header decodes nothing and a huge size must be told from damage.
  const metadata = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((cause: unknown) => {
      throw broken(format, cause)
    })
  if (metadata.format !== format) throw broken(format, new Error(`decoded as ${metadata.format}`))
  if (metadata.width * metadata.height > maxPixels) {
    throw new PictureError(
      'too_many_pixels',
      `The picture is ${metadata.width} × ${metadata.height} pixels. Send one of at most ${maxPixels / 1e6} megapixels.`,
    )
  }
}

interface Pixels {
  data: Buffer
  info: OutputInfo
}

function decode(bytes: Uint8Array): Promise<Pixels> {
  return sharp(bytes, { limitInputPixels: maxPixels, failOn: 'error', pages: 1 })
    .timeout({ seconds: decodeTimeoutSeconds })
    .autoOrient()
    .resize({ width: maxSidePixels, height: maxSidePixels, fit: 'inside', withoutEnlargement: true })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
}

async function encode({ data, info }: Pixels): Promise<Omit<PreparedPicture, 'format'>> {
  const { width, height, channels } = info
  const pixels = sharp(data, { raw: { width, height, channels } })
  if (isTransparent(data, channels)) {
    return { bytes: await pixels.png().toBuffer(), mimeType: 'image/png', width, height }
  }
  const opaque = channels === 2 || channels === 4 ? pixels.removeAlpha() : pixels
  return { bytes: await opaque.jpeg({ quality: jpegQuality }).toBuffer(), mimeType: 'image/jpeg', width, height }
}

// Many pictures have an alpha channel that says "opaque" everywhere; those are better as JPEG.
function isTransparent(data: Buffer, channels: number): boolean {
  if (channels !== 2 && channels !== 4) return false
  for (let alpha = channels - 1; alpha < data.length; alpha += channels) {
    if (data[alpha] !== 255) return true
  }
  return false
}

function formatOf(bytes: Uint8Array): PictureFormat | undefined {
  const head = Buffer.from(bytes.subarray(0, 12)).toString('latin1')
  if (head.startsWith('\x89PNG\r\n\x1a\n')) return 'png'
  if (head.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (head.startsWith('GIF87a') || head.startsWith('GIF89a')) return 'gif'
  if (head.startsWith('RIFF') && head.slice(8) === 'WEBP') return 'webp'
  return undefined
}

const knownOthers: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['a HEIC photo', /^.{4}ftyp(?:hei|hev|mif1|msf1)/s],
  ['an AVIF picture', /^.{4}ftypavi/s],
  ['a TIFF picture', /^(?:II\*\0|MM\0\*)/],
  ['a PDF document', /^%PDF/],
  ['a BMP picture', /^BM/],
  ['an SVG drawing', /^(?:\xef\xbb\xbf)?\s*<(?:svg|\?xml|!doctype svg)/i],
]

function unsupported(bytes: Uint8Array): PictureError {
  const head = Buffer.from(bytes.subarray(0, 64)).toString('latin1')
  const name = knownOthers.find(([, pattern]) => pattern.test(head))?.[0]
  const what = name === undefined ? 'This file is not a picture of a supported type.' : `This is ${name}.`
  return new PictureError('unsupported_type', `${what} Send a PNG, JPEG, GIF or WebP picture.`)
}

function broken(format: PictureFormat, cause: unknown): PictureError {
  const message = `The ${format.toUpperCase()} picture is damaged or incomplete. Save it again, or send another one.`
  return new PictureError('broken', message, { cause })
}
