import { createRequire } from 'node:module'
import sharp from 'sharp'
import { type Random, randomFrom } from '../random.ts'

export interface Drawing {
  bytes: Buffer
  mimeType: 'image/png' | 'image/jpeg'
}

const SIZES: Record<string, [width: number, height: number]> = {
  '1:1': [1024, 1024],
  '4:3': [1184, 864],
  '3:4': [864, 1184],
  '16:9': [1344, 768],
  '9:16': [768, 1344],
}
const MAX_LETTERS = 240
// The font travels with the package: a machine without any, such as a slim image, still shows the words.
const FONT_FILE = createRequire(import.meta.url).resolve('dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf')

/** A picture that shows the prompt's words over shapes and colours taken from its hash; its Exif description holds them percent-encoded. */
export async function draw(prompt: string, aspectRatio: string, format: 'png' | 'jpeg' | 'mixed'): Promise<Drawing> {
  const random = randomFrom(`picture ${prompt}`)
  const [width, height] = SIZES[aspectRatio] ?? [1024, 1024]
  const words = await renderWords(prompt, Math.floor(width * 0.84), Math.floor(height * 0.5))
  const canvas = sharp(Buffer.from(background(random, width, height)))
  if (words) canvas.composite([{ input: words, gravity: 'centre' }])
  canvas.withExif({ IFD0: { ImageDescription: encodeURIComponent(prompt.toWellFormed()) } })
  const asJpeg = format === 'jpeg' || (format === 'mixed' && random.next() < 0.5)
  const bytes = asJpeg ? await canvas.jpeg({ quality: 85 }).toBuffer() : await canvas.png({ palette: true }).toBuffer()
  return { bytes, mimeType: asJpeg ? 'image/jpeg' : 'image/png' }
}

async function renderWords(prompt: string, width: number, height: number): Promise<Buffer | undefined> {
  const letters = [...prompt.trim().replaceAll(/\s+/gu, ' ')]
  const shown = letters.length > MAX_LETTERS ? `${letters.slice(0, MAX_LETTERS - 1).join('')}…` : letters.join('')
  if (/^[\p{C}\p{Z}]*$/u.test(shown)) return undefined // Pango refuses to render nothing
  const text = `<span foreground="white">${escapeMarkup(shown)}</span>`
  const rendered = sharp({
    text: {
      text,
      fontfile: FONT_FILE,
      font: 'DejaVu Sans Bold',
      width,
      height,
      rgba: true,
      align: 'centre',
      wrap: 'word-char',
    },
  })
  // Pango makes a sole, flat sign such as an underscore so large that it is wider than it was allowed to be.
  return rendered.resize({ width, height, fit: 'inside', withoutEnlargement: true }).png().toBuffer()
}

function background(random: Random, width: number, height: number): string {
  const hue = Math.floor(random.next() * 360)
  const shapes = Array.from({ length: 5 }, (_, index) => {
    const x = Math.floor(random.next() * width)
    const y = Math.floor(random.next() * height)
    const size = Math.floor(width * (0.1 + random.next() * 0.2))
    const fill = `hsl(${(hue + 30 + index * 40) % 360}, 55%, 42%)`
    return random.next() < 0.5
      ? `<circle cx="${x}" cy="${y}" r="${size}" fill="${fill}"/>`
      : `<rect x="${x - size}" y="${y - size}" width="${size * 2}" height="${size * 2}" fill="${fill}"/>`
  })
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
    `<rect width="100%" height="100%" fill="hsl(${hue}, 50%, 30%)"/>${shapes.join('')}` +
    `<rect x="5%" y="22%" width="90%" height="56%" rx="24" fill="#000" fill-opacity="0.55"/></svg>`
  )
}

/** Pango markup takes what XML takes: no control characters, no bare `<`, `>` and `&`. */
function escapeMarkup(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Cs}\uFFFE\uFFFF]/gu, ' ')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
}
