import { hostileImages } from '@knowalledge/testing'
import { ending, post } from './hostile-request.ts'

const { gif, jpeg, png, pngChunk, progressiveJpeg, webp, webpFrames } = hostileImages

interface Part {
  /** The lines of its head; a file called `image` unless said otherwise. */
  head?: string
  content?: string | Buffer
}

const formType = 'content-type: multipart/form-data; boundary=b'
export const imageHead = 'content-disposition: form-data; name="image"; filename="a.png"'
const field = (name: string): Part => ({ head: `content-disposition: form-data; name="${name}"`, content: 'x' })

export function form(parts: Part[], { end = '--b--\r\n', type = 'multipart/form-data; boundary=b' } = {}): Buffer {
  const pieces = parts.flatMap(({ head = imageHead, content = '' }) => [`--b\r\n${head}\r\n\r\n`, content, '\r\n'])
  const body = Buffer.concat([...pieces, end].map((piece) => Buffer.from(piece as string)))
  return post('/api/image2topic', body, `content-type: ${type}`)
}

export const upload = (content: string | Buffer) => form([{ content }])
const pixel = png(1, 1)
const manyParts = (count: number) => Array.from({ length: count }, (_, n) => field(`f${n}`))

export const forms = [
  ...ending(400, 'invalid_input', {
    'no part': form([]),
    'nothing at all': post('/api/image2topic', '', formType),
    'no boundary': form([{ content: pixel }], { type: 'multipart/form-data' }),
    'an empty boundary': form([{ content: pixel }], { type: 'multipart/form-data; boundary=' }),
    'another boundary': form([{ content: pixel }], { type: 'multipart/form-data; boundary=other' }),
    'no closing boundary': form([{ content: pixel }], { end: '' }),
    'a closing boundary cut short': form([{ content: pixel }], { end: '--b-' }),
    'cut short in a head': post('/api/image2topic', `--b\r\n${imageHead}`, formType),
    'image twice': form([{ content: pixel }, { content: pixel }]),
    'image and image, one of them a text': form([{ content: pixel }, field('image'), { content: pixel }]),
    'zero bytes': upload(''),
    'image as a text': form([field('image')]),
    'a file by another name': form([{ head: imageHead.replace('"image"', '"file"'), content: pixel }]),
    'a file of 9 MiB by another name': form([
      { head: imageHead.replace('"image"', '"file"'), content: Buffer.alloc(9 * 1024 * 1024) },
    ]),
    'a part without a name': form([{ head: 'content-disposition: form-data; filename="a.png"', content: pixel }]),
    'a part without a disposition': form([{ head: 'content-type: image/png', content: pixel }]),
    'a part called __proto__': form([field('__proto__'), { content: pixel }]),
    'a part called constructor': form([field('constructor'), { content: pixel }]),
    'a part called toString': form([field('toString'), { content: pixel }]),
    'a part with a thousand headers': form([{ head: `${'x: y\r\n'.repeat(1_000)}${imageHead}`, content: '' }]),
    'a PNG that ends after its signature': upload(pixel.subarray(0, 8)),
    'a PNG cut in half': upload(png(300, 300).subarray(0, 60)),
    'a PNG with fewer rows than it says': upload(png(2_000, 2_000, { rows: 10 })),
    'a PNG of 0 × 0': upload(png(0, 0)),
    'a PNG one row high and a billion wide': upload(png(0x3fffffff, 1, { rows: 0 })),
    'a GIF that is a script': upload('GIF89a/*<svg/onload=alert(1)>*/=1;alert(1)'),
    'a JPEG that is a PHP page': upload(Buffer.from('\xff\xd8\xff\xe0<?php system($_GET[0]); ?>', 'latin1')),
    'a WebP that is nothing': upload(Buffer.from('RIFF\xff\xff\xff\xffWEBPVP8 ', 'latin1')),
  }),
  ...ending(413, 'payload_too_large', {
    'five thousand fields': form(manyParts(5_000)),
    'twenty-six parts': form([...manyParts(25), { content: pixel }]),
    'an image of 10 MiB and a byte': upload(Buffer.alloc(10 * 1024 * 1024 + 1)),
    'an image of 30 MiB': upload(Buffer.alloc(30 * 1024 * 1024)),
    'a PNG of 4 gigapixels': upload(png(65_535, 65_535, { rows: 1 })),
    'a PNG of 50.1 megapixels that is really there': upload(png(10_000, 5_010)),
    'a GIF with a frame of 4 gigapixels on a small screen': upload(gif([1, 1], [65_535, 65_535])),
    'a JPEG of 4 gigapixels': upload(jpeg(65_500, 65_500)),
    'a WebP of 268 megapixels': upload(webp(16_383, 16_383)),
    'a WebP of 150,000 frames': upload(webpFrames(150_000)),
    'a progressive JPEG of 5,000 scans': upload(progressiveJpeg(7_000, 7_000, { scans: 5_000 })),
    'a progressive JPEG that takes 294 MB decoded': upload(progressiveJpeg(7_000, 7_000, { components: 3 })),
    'an interlaced PNG that takes 392 MB decoded': upload(
      png(7_000, 7_000, { depth: 16, kind: 'rgba', interlaced: true }),
    ),
    'a PNG of 50 rows and a million columns': upload(png(1_000_000, 50)),
    'a PNG of 100,000 chunks': upload(
      png(7, 7, { extra: Buffer.concat(Array<Buffer>(100_000).fill(pngChunk('sPLT', Buffer.alloc(0)))) }),
    ),
    'a PNG with an Exif of 2 MiB': upload(png(8, 8, { extra: pngChunk('eXIf', Buffer.alloc(2 * 1024 * 1024)) })),
  }),
  ...ending(415, 'unsupported_media_type', {
    JSON: post('/api/image2topic', '{"image":"x"}', 'content-type: application/json'),
    'a bare image': post('/api/image2topic', pixel, 'content-type: image/png'),
    'a bare image of 9 MiB': post('/api/image2topic', Buffer.alloc(9 * 1024 * 1024), 'content-type: image/png'),
    'multipart/mixed': form([{ content: pixel }], { type: 'multipart/mixed; boundary=b' }),
    'a form inside the form': form([
      { head: `${imageHead}\r\ncontent-type: multipart/mixed; boundary=c`, content: '--c\r\n\r\nx\r\n--c--' },
    ]),
    'an SVG drawing': upload('<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
    'an SVG with an entity bomb': upload('<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "a">]><svg>&a;</svg>'),
    'a page': upload('<!doctype html><script>alert(1)</script>'),
    'a PDF': upload('%PDF-1.7'),
    'a TIFF': upload('II*\0'),
    'a zip': upload('PK\x03\x04'),
    'an image in base64': upload(pixel.toString('base64')),
    'a space before a PNG': upload(Buffer.concat([Buffer.from(' '), pixel])),
  }),
]
