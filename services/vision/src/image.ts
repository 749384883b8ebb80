import sharp, { type Metadata, type Sharp } from 'sharp'
import { checkWebpFrames, type JpegLayout, jpegLayout, withoutExtras } from './containers.ts'
import { ImageError } from './image-error.ts'
import { maxDecodedBytes, maxPixels, maxSidePixels } from './limits.ts'

const preparedSidePixels = 1024
const jpegQuality = 85

// Process-wide: uploads never repeat, so a cache would only hold memory, and a decoder works on one image at a time.
sharp.cache(false)
sharp.concurrency(1)

export type ImageFormat = 'png' | 'jpeg' | 'gif' | 'webp'

export interface PreparedImage {
  bytes: Uint8Array
  mimeType: 'image/jpeg' | 'image/png'
  width: number
  height: number
  /** What the upload was. */
  format: ImageFormat
}

/** An upload that is within every limit, by its header. */
export interface InspectedImage {
  /** Without what the decoder does not need. */
  file: Buffer
  format: ImageFormat
  mayBeTransparent: boolean
  /** What decoding may take at most, apart from a few rows. */
  decodedBytes: number
}

/** Reads an upload's header. Throws ImageError, and nothing else, for what is no image or costs too much to decode. */
export async function inspectImage(bytes: Uint8Array): Promise<InspectedImage> {
  if (bytes.length === 0) throw new ImageError('empty', 'The image is empty. Choose a file with an image in it.')
  const format = formatOf(bytes)
  if (format === undefined) throw unsupported(bytes)
  const upload = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const jpeg = format === 'jpeg' ? jpegLayout(upload) : undefined
  if (format === 'webp') checkWebpFrames(upload)
  const file = format === 'png' ? withoutExtras(upload) : upload
  const metadata = await readHeader(file, format)
  checkSize(metadata)
  const decodedBytes = decodedBytesOf(metadata, jpeg)
  if (decodedBytes > maxDecodedBytes) throw tooManyBytes(decodedBytes)
  return { file, format, mayBeTransparent: metadata.hasAlpha, decodedBytes }
}

async function readHeader(file: Buffer, format: ImageFormat): Promise<Metadata> {
  // Without a pixel limit of its own, since reading the header decodes nothing and a huge size must be told from damage.
  const metadata = await sharp(file, { limitInputPixels: false })
    .metadata()
    .catch((cause: unknown) => {
      throw broken(format, cause)
    })
  if (metadata.format !== format) throw broken(format, new Error(`decoded as ${metadata.format}`))
  return metadata
}

function checkSize({ width, height }: Metadata): void {
  const isTooLong = Math.max(width, height) > maxSidePixels
  if (width * height <= maxPixels && !isTooLong) return
  const bound =
    isTooLong && width * height <= maxPixels ? `${maxSidePixels} pixels a side` : `${maxPixels / 1e6} megapixels`
  throw new ImageError('too_many_pixels', `The image is ${width} × ${height} pixels. Send one of at most ${bound}.`)
}

function decodedBytesOf({ format, width, height, channels, depth }: Metadata, jpeg: JpegLayout | undefined): number {
  const pixels = width * height
  if (jpeg) return Math.ceil(pixels * jpeg.samplesPerPixel) * (jpeg.isBuffered ? 2 : 1)
  if (format !== 'png') return pixels * 4 // a GIF's or WebP's decoder holds RGBA, whatever is in the file
  return pixels * channels * (depth === 'ushort' ? 2 : 1)
}

function tooManyBytes(decodedBytes: number): ImageError {
  const megabytes = Math.ceil(decodedBytes / 1e6)
  const remedy = 'fewer pixels, 8 bits a channel, or a JPEG that is not progressive'
  return new ImageError(
    'too_many_decoded_bytes',
    `The image takes ${megabytes} MB decoded. Send one that takes at most ${maxDecodedBytes / 1e6} MB: ${remedy}.`,
  )
}

/**
 * Makes an inspected upload fit for the model: upright, sRGB, at most 1024 pixels on its longer side, the first frame, no
 * metadata (no GPS position). JPEG, or PNG when something is transparent. Throws only ImageError; writes nothing to disk.
 */
export async function decodeImage({ file, format, mayBeTransparent }: InspectedImage): Promise<PreparedImage> {
  try {
    const decoding = sharp(file, { limitInputPixels: maxPixels, failOn: 'error', pages: 1 })
      .autoOrient()
      // Right after the decoder, which then reads a JPEG or WebP at a half, a quarter or an eighth of its size.
      .resize({ width: preparedSidePixels, height: preparedSidePixels, fit: 'inside', withoutEnlargement: true })
      .toColourspace('srgb')
    return { ...(mayBeTransparent ? await encode(decoding) : await encodeJpeg(decoding)), format }
  } catch (cause) {
    throw broken(format, cause)
  }
}

type Encoded = Omit<PreparedImage, 'format'>

async function encode(decoding: Sharp): Promise<Encoded> {
  const { data, info } = await decoding.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true })
  const { width, height, channels } = info
  const pixels = sharp(data, { raw: { width, height, channels } })
  if (!isTransparent(data, channels)) return await encodeJpeg(pixels)
  return { bytes: await pixels.png().toBuffer(), mimeType: 'image/png', width, height }
}

async function encodeJpeg(pixels: Sharp): Promise<Encoded> {
  const { data, info } = await pixels.removeAlpha().jpeg({ quality: jpegQuality }).toBuffer({ resolveWithObject: true })
  return { bytes: data, mimeType: 'image/jpeg', width: info.width, height: info.height }
}

// Many images have an alpha channel that says "opaque" everywhere; those are better as JPEG.
function isTransparent(data: Buffer, channels: number): boolean {
  if (channels !== 2 && channels !== 4) return false
  for (let alpha = channels - 1; alpha < data.length; alpha += channels) {
    if (data[alpha] !== 255) return true
  }
  return false
}

function formatOf(bytes: Uint8Array): ImageFormat | undefined {
  const head = Buffer.from(bytes.subarray(0, 12)).toString('latin1')
  if (head.startsWith('\x89PNG\r\n\x1a\n')) return 'png'
  if (head.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (head.startsWith('GIF87a') || head.startsWith('GIF89a')) return 'gif'
  if (head.startsWith('RIFF') && head.slice(8) === 'WEBP') return 'webp'
  return undefined
}

const knownOthers: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['a HEIC photo', /^.{4}ftyp(?:hei|hev|mif1|msf1)/s],
  ['an AVIF image', /^.{4}ftypavi/s],
  ['a TIFF image', /^(?:II\*\0|MM\0\*)/],
  ['a PDF document', /^%PDF/],
  ['a BMP image', /^BM/],
  ['an SVG drawing', /^(?:\xef\xbb\xbf)?\s*<(?:svg|\?xml|!doctype svg)/i],
]

function unsupported(bytes: Uint8Array): ImageError {
  const head = Buffer.from(bytes.subarray(0, 64)).toString('latin1')
  const name = knownOthers.find(([, pattern]) => pattern.test(head))?.[0]
  const what = name === undefined ? 'This file is not an image of a supported type.' : `This is ${name}.`
  return new ImageError('unsupported_type', `${what} Send a PNG, JPEG, GIF or WebP image.`)
}

function broken(format: ImageFormat, cause: unknown): ImageError {
  const message = `The ${format.toUpperCase()} image is damaged or incomplete. Save it again, or send another one.`
  return new ImageError('broken', message, { cause })
}
