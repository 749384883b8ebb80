/** What a picture's file carries beside its pixels, by the layout of the file alone: nothing is decoded here. */

const texts = new Set(['tEXt', 'zTXt', 'iTXt'])

/**
 * A PNG without its texts. Each may inflate to a thousand times its size, and the decoder inflates and copies them all:
 * a megabyte of them took four gigabytes. What follows a broken chunk stays as it is, for the decoder to refuse.
 */
export function withoutTexts(png: Buffer): Buffer {
  const kept: Buffer[] = []
  let keptFrom = 0
  for (const { type, start, end } of pngChunks(png)) {
    if (!texts.has(type)) continue
    kept.push(png.subarray(keptFrom, start))
    keptFrom = end
  }
  return keptFrom === 0 ? png : Buffer.concat([...kept, png.subarray(keptFrom)])
}

function* pngChunks(png: Buffer): Generator<{ type: string; start: number; end: number }> {
  for (let start = 8; start + 12 <= png.length; ) {
    const end = start + 12 + png.readUInt32BE(start)
    yield { type: png.toString('latin1', start + 4, start + 8), start, end }
    start = end
  }
}

/** How many frames an animated WebP says it has; 0 for a still one. The decoder looks at each in a time that grows with their square. */
export function webpFrames(webp: Buffer): number {
  let frames = 0
  for (let start = 12; start + 8 <= webp.length; ) {
    if (webp.toString('latin1', start, start + 4) === 'ANMF') frames++
    const size = webp.readUInt32LE(start + 4)
    start += 8 + size + (size % 2)
  }
  return frames
}
