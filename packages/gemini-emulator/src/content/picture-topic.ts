import sharp from 'sharp'
import { BARS, numberOf } from './bar-code.ts'
import { languagePack } from './languages/index.ts'
import type { ColourName, ShapeName } from './languages/pack.ts'

const SIDE = 64
/** Distance in RGB beyond which a pixel is not background. */
const FOREGROUND_DISTANCE = 60

type Rgb = [red: number, green: number, blue: number]

interface Seen {
  /** Of a bar code that fills the picture. */
  number: number | undefined
  colour: ColourName
  background: ColourName
  shape: ShapeName | 'none' | 'scene'
  orientation: 'landscape' | 'portrait' | 'square'
}

/** Says what a picture shows, by its colours and its outline: `Red square on white`, or the number of its bars: `Bar code 4711`. @throws when it cannot be read */
export async function tellPictureTopic(bytes: Uint8Array, language: string): Promise<string> {
  const { picture } = languagePack(language)
  const { number, colour, background, shape, orientation } = await look(bytes)
  if (number !== undefined) return picture.barCode.replace('{number}', String(number))
  const template = shape === 'none' ? picture.plain : shape === 'scene' ? picture[orientation] : picture.onBackground
  const phrase = template
    .replace('{colour}', picture.colours[shape === 'none' ? background : colour])
    .replace('{background}', picture.colours[background])
    .replace('{shape}', shape === 'none' || shape === 'scene' ? '' : picture.shapes[shape])
  return phrase.charAt(0).toUpperCase() + phrase.slice(1)
}

async function look(bytes: Uint8Array): Promise<Seen> {
  const image = sharp(bytes, { failOn: 'truncated' }).rotate()
  const { width, height } = await sharp(bytes).metadata()
  const raw = await image
    .flatten({ background: 'white' })
    .toColourspace('srgb')
    .resize(SIDE, SIDE, { fit: 'fill', kernel: 'nearest' })
    .removeAlpha()
    .raw()
    .toBuffer()
  const pixels = Array.from(
    { length: SIDE * SIDE },
    (_, at): Rgb => [raw[at * 3] ?? 0, raw[at * 3 + 1] ?? 0, raw[at * 3 + 2] ?? 0],
  )
  const border = pixels.filter((_, at) => isBorder(at))
  const backdrop = averageOf(border, commonest(border))
  const foreground = pixels.flatMap((pixel, at) => (distance(pixel, backdrop) > FOREGROUND_DISTANCE ? [at] : []))
  const foregroundPixels = foreground.map((at) => pixels[at] as Rgb)
  return {
    number: readBars(pixels),
    colour: commonest(foreground.length > 0 ? foregroundPixels : pixels),
    background: nameColour(backdrop),
    shape: recogniseShape(foreground, foregroundPixels, border, width / height),
    orientation: width > height * 1.2 ? 'landscape' : height > width * 1.2 ? 'portrait' : 'square',
  }
}

/** Undefined unless every column is black or white from top to bottom. */
function readBars(pixels: Rgb[]): number | undefined {
  const columns = Array.from({ length: SIDE }, (_, column) => {
    const names = new Set(pixels.flatMap((pixel, at) => (at % SIDE === column ? [nameColour(pixel)] : [])))
    return names.size === 1 ? [...names][0] : undefined
  })
  if (columns.some((name) => name !== 'black' && name !== 'white')) return undefined
  return numberOf(
    Array.from({ length: BARS }, (_, bar) => columns[Math.floor(((bar + 0.5) * SIDE) / BARS)] === 'black'),
  )
}

function recogniseShape(foreground: number[], colours: Rgb[], border: Rgb[], aspect: number): Seen['shape'] {
  if (foreground.length < SIDE * SIDE * 0.005) return 'none'
  const borderAgrees = share(border, commonest(border))
  const foregroundAgrees = share(colours, commonest(colours))
  if (borderAgrees < 0.7 || foregroundAgrees < 0.5) return 'scene'
  const columns = foreground.map((at) => at % SIDE)
  const rows = foreground.map((at) => Math.floor(at / SIDE))
  const width = Math.max(...columns) - Math.min(...columns) + 1
  const height = Math.max(...rows) - Math.min(...rows) + 1
  const filled = foreground.length / (width * height)
  const ratio = (width / height) * aspect
  const isEven = ratio > 0.85 && ratio < 1.18
  if (filled > 0.93) return isEven ? 'square' : 'rectangle'
  if (filled > 0.7 && filled < 0.86) return isEven ? 'circle' : 'ellipse'
  return filled > 0.42 && filled < 0.62 ? 'triangle' : 'pattern'
}

function isBorder(at: number): boolean {
  const column = at % SIDE
  const row = Math.floor(at / SIDE)
  return column === 0 || row === 0 || column === SIDE - 1 || row === SIDE - 1
}

function commonest(pixels: Rgb[]): ColourName {
  const counts = new Map<ColourName, number>()
  for (const pixel of pixels) counts.set(nameColour(pixel), (counts.get(nameColour(pixel)) ?? 0) + 1)
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? 'white'
}

function share(pixels: Rgb[], name: ColourName): number {
  return pixels.filter((pixel) => nameColour(pixel) === name).length / pixels.length
}

function averageOf(pixels: Rgb[], name: ColourName): Rgb {
  const same = pixels.filter((pixel) => nameColour(pixel) === name)
  const mean = (channel: 0 | 1 | 2) => same.reduce((sum, pixel) => sum + pixel[channel], 0) / same.length
  return [mean(0), mean(1), mean(2)]
}

function distance(a: Rgb, b: Rgb): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2])
}

/** By hue, saturation and lightness. */
function nameColour([red, green, blue]: Rgb): ColourName {
  const max = Math.max(red, green, blue) / 255
  const min = Math.min(red, green, blue) / 255
  const lightness = (max + min) / 2
  const chroma = max - min
  if (lightness < 0.12) return 'black'
  if (lightness > 0.93) return 'white'
  const saturation = chroma / (1 - Math.abs(2 * lightness - 1))
  if (saturation < 0.15) return lightness > 0.85 ? 'white' : lightness < 0.2 ? 'black' : 'grey'
  return nameHue(hueOf([red, green, blue], chroma, max), lightness)
}

function hueOf([red, green, blue]: Rgb, chroma: number, max: number): number {
  const [r, g, b] = [red / 255, green / 255, blue / 255]
  if (max === r) return (60 * (((g - b) / chroma) % 6) + 360) % 360
  return max === g ? 60 * ((b - r) / chroma + 2) : 60 * ((r - g) / chroma + 4)
}

function nameHue(hue: number, lightness: number): ColourName {
  if (hue < 15 || hue >= 345) return lightness > 0.75 ? 'pink' : 'red'
  if (hue < 45) return lightness < 0.4 ? 'brown' : 'orange'
  if (hue < 70) return 'yellow'
  if (hue < 165) return 'green'
  if (hue < 195) return 'turquoise'
  if (hue < 255) return 'blue'
  return hue < 290 ? 'purple' : 'pink'
}
