import sharp from 'sharp'
import t from 'tap'
import { maxPixels } from '../src/limits.ts'
import { blue, halves, photograph, prepareImage, problemOf, type Rgb, red } from './images.ts'

async function pixelAt(bytes: Uint8Array, x: number, y: number): Promise<'red' | 'blue' | 'other'> {
  const { data, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true })
  const at = (y * info.width + x) * info.channels
  const near = (colour: Rgb) =>
    [colour.r, colour.g, colour.b].every((value, i) => Math.abs((data[at + i] ?? -1) - value) < 40)
  return near(red) ? 'red' : near(blue) ? 'blue' : 'other'
}

for (const format of ['png', 'jpeg', 'gif', 'webp'] as const) {
  t.test(`accepts a ${format} and says what it was`, async (t) => {
    const prepared = await prepareImage(await halves(600, 400).toFormat(format).toBuffer())
    t.match(prepared, { format, mimeType: 'image/jpeg', width: 600, height: 400 })
    t.match(await sharp(prepared.bytes).metadata(), { format: 'jpeg', width: 600, height: 400 })
    t.equal(await pixelAt(prepared.bytes, 100, 200), 'red')
    t.equal(await pixelAt(prepared.bytes, 500, 200), 'blue')
  })

  t.test(`a ${format} cut off anywhere is broken`, async (t) => {
    const whole = await photograph(format)
    for (const share of [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97]) {
      const { problem, message } = await problemOf(whole.subarray(0, Math.floor(whole.length * share)))
      t.equal(problem, 'broken', `${share * 100} %`)
      t.match(message, /damaged or incomplete\. Save it again/)
    }
  })
}

t.test('scales down to 1024 pixels on the longer side, never up', async (t) => {
  const sizes: [from: [number, number], to: [number, number]][] = [
    [
      [3000, 2000],
      [1024, 683],
    ],
    [
      [1000, 4000],
      [256, 1024],
    ],
    [
      [1024, 1024],
      [1024, 1024],
    ],
    [
      [30, 20],
      [30, 20],
    ],
    [
      [20_000, 4],
      [1024, 1],
    ],
  ]
  for (const [[width, height], [toWidth, toHeight]] of sizes) {
    const prepared = await prepareImage(await halves(width, height).png().toBuffer())
    t.match(prepared, { width: toWidth, height: toHeight })
    t.match(await sharp(prepared.bytes).metadata(), { width: toWidth, height: toHeight })
  }
})

t.test('turns the image upright by its EXIF orientation', async (t) => {
  // [orientation, where the stored left half (red) is seen: x, y of a point in it]
  const seen: [orientation: number, redX: number, redY: number, blueX: number, blueY: number][] = [
    [1, 20, 40, 180, 40],
    [2, 180, 40, 20, 40],
    [3, 180, 40, 20, 40],
    [4, 20, 40, 180, 40],
    [5, 40, 20, 40, 180],
    [6, 40, 20, 40, 180],
    [7, 40, 180, 40, 20],
    [8, 40, 180, 40, 20],
  ]
  for (const [orientation, redX, redY, blueX, blueY] of seen) {
    const prepared = await prepareImage(await halves(200, 80).jpeg().withMetadata({ orientation }).toBuffer())
    const [width, height] = orientation < 5 ? [200, 80] : [80, 200]
    t.match(prepared, { width, height }, `orientation ${orientation}`)
    t.equal(await pixelAt(prepared.bytes, redX, redY), 'red', `orientation ${orientation}`)
    t.equal(await pixelAt(prepared.bytes, blueX, blueY), 'blue', `orientation ${orientation}`)
    t.equal((await sharp(prepared.bytes).metadata()).orientation, undefined)
  }
})

t.test('no metadata survives: no GPS position, camera, XMP or profile', async (t) => {
  const exif = {
    IFD0: { Artist: 'Ada Lovelace', Make: 'CameraMaker' },
    IFD3: { GPSLatitudeRef: 'N', GPSLatitude: '51/1 30/1 0/1', GPSLongitudeRef: 'W', GPSLongitude: '0/1 7/1 0/1' },
  }
  const xmp = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><secret>home address</secret></x:xmpmeta>'
  for (const format of ['jpeg', 'png', 'webp'] as const) {
    const upload = await halves(200, 100).withExif(exif).withXmp(xmp).withIccProfile('p3').toFormat(format).toBuffer()
    const before = await sharp(upload).metadata()
    t.ok(before.exif && before.icc && before.xmp, `the ${format} upload has them`)
    t.ok(upload.includes('Ada Lovelace'))
    const { bytes } = await prepareImage(upload)
    const { exif: noExif, icc, xmp: noXmp, iptc, comments } = await sharp(bytes).metadata()
    t.same([noExif, icc, noXmp, iptc, comments], [undefined, undefined, undefined, undefined, undefined], format)
    t.notOk(Buffer.from(bytes).includes('Ada Lovelace'))
  }
})

t.test('colours of another profile are converted to sRGB, not just relabelled', async (t) => {
  const colour = { r: 200, g: 60, b: 60 }
  const upload = await sharp({ create: { width: 64, height: 64, channels: 3, background: colour } })
    .withIccProfile('p3')
    .png()
    .toBuffer()
  const stored = await sharp(upload, {}).keepIccProfile().raw().toBuffer()
  const { bytes } = await prepareImage(upload)
  const shown = await sharp(bytes).raw().toBuffer()
  t.ok(Math.abs((shown[0] ?? 0) - colour.r) <= 4, `red ${shown[0]}`)
  t.not(stored[0], shown[0], 'the P3 numbers differ from the sRGB ones')
})

t.test('a CMYK photograph becomes sRGB', async (t) => {
  const upload = await halves(200, 100).toColourspace('cmyk').jpeg().toBuffer()
  t.equal((await sharp(upload).metadata()).space, 'cmyk')
  const { bytes } = await prepareImage(upload)
  t.match(await sharp(bytes).metadata(), { space: 'srgb', channels: 3 })
})

t.test('sixteen bits and grey are welcome', async (t) => {
  const deep = await halves(100, 50).toColourspace('rgb16').png().toBuffer()
  t.equal((await sharp(deep).metadata()).depth, 'ushort')
  t.equal(await pixelAt((await prepareImage(deep)).bytes, 10, 10), 'red')
  const grey = await halves(100, 50).greyscale().png().toBuffer()
  t.match(await prepareImage(grey), { mimeType: 'image/jpeg', width: 100 })
})

t.test('what is transparent stays a PNG, an opaque alpha channel does not', async (t) => {
  const background = { ...red, alpha: 0.5 }
  const clear = { create: { width: 2000, height: 100, channels: 4 as const, background } }
  for (const format of ['png', 'webp', 'gif'] as const) {
    const prepared = await prepareImage(
      await sharp({ ...clear, create: { ...clear.create, background: { ...red, alpha: 0 } } })
        .toFormat(format)
        .toBuffer(),
    )
    t.match(prepared, { mimeType: 'image/png', width: 1024, format })
    t.match(await sharp(prepared.bytes).metadata(), { format: 'png', hasAlpha: true })
  }
  const opaque = await halves(200, 100).ensureAlpha(1).png().toBuffer()
  t.equal((await sharp(opaque).metadata()).hasAlpha, true)
  t.equal((await prepareImage(opaque)).mimeType, 'image/jpeg')
})

for (const format of ['gif', 'webp'] as const) {
  t.test(`of an animated ${format} only the first frame is decoded`, async (t) => {
    const frames = await Promise.all(
      [red, blue, { r: 20, g: 220, b: 20 }].map((background) =>
        sharp({ create: { width: 80, height: 60, channels: 3, background } })
          .png()
          .toBuffer(),
      ),
    )
    const animated = await sharp(frames, { join: { animated: true } })
      .toFormat(format)
      .toBuffer()
    t.equal((await sharp(animated).metadata()).pages, 3)
    const prepared = await prepareImage(animated)
    t.match(prepared, { width: 80, height: 60, format })
    t.equal(await pixelAt(prepared.bytes, 40, 30), 'red')
  })
}

t.test('frames do not add up, and what is in a later one is never read', async (t) => {
  const [side, count] = [1500, 30]
  const still = await halves(side, side).gif({ dither: 0 }).toBuffer()
  const start = still.indexOf(Buffer.from([0x21, 0xf9])) // the graphic control block that begins a frame
  const frame = still.subarray(start, -1)
  const unreadable = Buffer.from(frame)
  for (let i = frame.length - 200; i < frame.length - 100; i += 1) unreadable[i] = 0xff ^ (unreadable[i] ?? 0)
  const later = Array.from({ length: count - 1 }, () => unreadable)
  const animated = Buffer.concat([still.subarray(0, start), frame, ...later, still.subarray(-1)])
  const { pages = 0 } = await sharp(animated).metadata()
  t.ok(pages * side * side > maxPixels, `${pages} frames`)
  await t.rejects(sharp(animated, { animated: true, failOn: 'error' }).raw().toBuffer(), 'all frames cannot be read')
  const prepared = await prepareImage(animated)
  t.match(prepared, { width: 1024, height: 1024 })
  t.equal(await pixelAt(prepared.bytes, 200, 500), 'red')
})
