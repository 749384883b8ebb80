import sharp, { type Sharp } from 'sharp'
import { decodeImage, type ImageFormat, inspectImage, type PreparedImage } from '../src/image.ts'
import { ImageError } from '../src/image-error.ts'

export type Rgb = { r: number; g: number; b: number }
export const red: Rgb = { r: 220, g: 20, b: 20 }
export const blue: Rgb = { r: 20, g: 20, b: 220 }

/** The left half red, the right half blue. */
export function halves(width: number, height: number): Sharp {
  const half = { create: { width: width / 2, height, channels: 3 as const, background: red } }
  return sharp({ create: { width, height, channels: 3, background: blue } }).composite([
    { input: half, left: 0, top: 0 },
  ])
}

/** Noise, so that compressed sizes are those of a photograph. */
export async function photograph(format: ImageFormat, side = 400): Promise<Buffer> {
  const noise = { type: 'gaussian' as const, mean: 128, sigma: 40 }
  return sharp({ create: { width: side, height: side, channels: 3, background: red, noise } })
    .toFormat(format)
    .toBuffer()
}

/** What a decoder's process does, in this one. */
export async function prepareImage(bytes: Uint8Array): Promise<PreparedImage> {
  return await decodeImage(await inspectImage(bytes))
}

/** What is wrong with it. */
export async function problemOf(bytes: Uint8Array): Promise<ImageError> {
  try {
    await prepareImage(bytes)
  } catch (error) {
    if (error instanceof ImageError) return error
    throw error
  }
  throw new Error('the image was accepted')
}

/** A PNG in one colour. */
export function solid(background: string, { width = 64, height = 48 } = {}): Promise<Buffer> {
  return sharp({ create: { width, height, channels: 3, background } })
    .png()
    .toBuffer()
}
