import { ImageError } from './image-error.ts'
import { maxChunks, maxFrames, maxMetadataBytes, maxScans } from './limits.ts'

/** The layout of image files: what a decoder would do without a bound of its own. Nothing is decoded here. */

/** What changes how the image looks, and what nearly every file has, so that most need no copy. */
const keptMetadata = new Set(['tRNS', 'iCCP', 'sRGB', 'gAMA', 'cHRM', 'cICP', 'eXIf', 'pHYs', 'sBIT', 'bKGD'])

/**
 * A PNG up to its end, without the ancillary chunks that do not change how it looks. The decoder keeps them all: texts
 * inflate to a thousand times their size, and 800,000 small ones took 270 MB. What follows a broken chunk stays as it is.
 */
export function withoutExtras(png: Buffer): Buffer {
  const kept: Buffer[] = []
  let [keptFrom, chunks, metadataBytes, stop] = [0, 0, 0, png.length]
  for (const { type, start, end } of pngChunks(png)) {
    if (++chunks > maxChunks) {
      const message = `The PNG image has more than ${maxChunks} chunks. Send one of at most ${maxChunks}: save it again.`
      throw new ImageError('too_many_chunks', message)
    }
    if (type === 'IEND') stop = end
    if (type === 'IEND' || end > png.length) break
    if (isCritical(type)) continue
    if (keptMetadata.has(type)) {
      metadataBytes += end - start
    } else {
      kept.push(png.subarray(keptFrom, start))
      keptFrom = end
    }
  }
  if (metadataBytes > maxMetadataBytes) {
    const message = `The PNG image has ${metadataBytes} bytes of metadata. Send one of at most ${maxMetadataBytes}.`
    throw new ImageError('too_much_metadata', message)
  }
  return kept.length === 0 ? png.subarray(0, stop) : Buffer.concat([...kept, png.subarray(keptFrom, stop)])
}

function* pngChunks(png: Buffer): Generator<{ type: string; start: number; end: number }> {
  for (let start = 8; start + 12 <= png.length; ) {
    const end = start + 12 + png.readUInt32BE(start)
    yield { type: png.toString('latin1', start + 4, start + 8), start, end }
    start = end
  }
}

/** By the PNG specification a decoder may skip what begins with a small letter. */
function isCritical(type: string): boolean {
  return type.charCodeAt(0) < 0x60
}

/** Throws when an animated WebP has too many frames: the decoder checks each in a time that grows with their square. */
export function checkWebpFrames(webp: Buffer): void {
  let frames = 0
  for (let start = 12; start + 8 <= webp.length; ) {
    if (webp.toString('latin1', start, start + 4) === 'ANMF') frames++
    const size = webp.readUInt32LE(start + 4)
    start += 8 + size + (size % 2)
  }
  if (frames <= maxFrames) return
  throw new ImageError('too_many_frames', `The image has ${frames} frames. Send one of at most ${maxFrames}.`)
}

export interface JpegLayout {
  /** The decoder holds the coefficients of the whole image, two bytes each. */
  isBuffered: boolean
  /** Three for RGB, 1.5 when colours have half the resolution. */
  samplesPerPixel: number
}

/** Throws when a JPEG has more scans than an encoder writes: 5,000 of them, half a megabyte, took 23 s. */
export function jpegLayout(jpeg: Buffer): JpegLayout {
  let [scans, samplesPerPixel, isProgressive] = [0, 0, false]
  for (const { marker, start } of jpegSegments(jpeg)) {
    if (marker === 0xda) scans++
    if (scans > maxScans) {
      const message = `The JPEG image has more than ${maxScans} scans. Send one of at most ${maxScans}: save it again.`
      throw new ImageError('too_many_scans', message)
    }
    if (!isFrameHeader(marker) || samplesPerPixel > 0) continue
    isProgressive = (marker & 3) === 2
    samplesPerPixel = samplesOf(jpeg.subarray(start + 9))
  }
  return { isBuffered: isProgressive || scans > 1, samplesPerPixel }
}

/** As a decoder finds them: a marker is 0xff and a byte that is neither stuffing nor a restart; all but a few have a length. */
function* jpegSegments(jpeg: Buffer): Generator<{ marker: number; start: number }> {
  let at = jpeg.indexOf(0xff, 2)
  while (at !== -1 && at + 4 <= jpeg.length) {
    const marker = jpeg.readUInt8(at + 1)
    if (marker === 0xd9) return
    if (marker === 0xff) {
      at++
      continue
    }
    const isAlone = marker <= 1 || (marker >= 0xd0 && marker <= 0xd8)
    if (!isAlone) yield { marker, start: at }
    at = jpeg.indexOf(0xff, at + 2 + (isAlone ? 0 : jpeg.readUInt16BE(at + 2)))
  }
}

/** SOF0 to SOF15, without the tables that share their range. */
function isFrameHeader(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc
}

/** From the count of components on: each has an id, its sampling factors in one byte, and a table. */
function samplesOf(components: Buffer): number {
  const areas: number[] = []
  let [widest, highest] = [1, 1]
  for (let n = 0; n < (components[0] ?? 0); n++) {
    const factors = components[2 + 3 * n] ?? 0
    const [across, down] = [factors >> 4, factors & 15]
    areas.push(across * down)
    widest = Math.max(widest, across)
    highest = Math.max(highest, down)
  }
  return areas.reduce((sum, area) => sum + area, 0) / (widest * highest)
}
