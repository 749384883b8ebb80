const accepted = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp'])
const maxBytes = 1_000_000
const maxSide = 1_600

/** A photo of a phone takes a minute to send and may have a format of its own: a smaller JPEG shows the same topic. */
export async function smallPhoto(file: File): Promise<Blob> {
  if (accepted.has(file.type) && file.size <= maxBytes) return file
  try {
    const bitmap = await createImageBitmap(file)
    const scale = Math.min(1, maxSide / Math.max(bitmap.width, bitmap.height))
    const canvas = new OffscreenCanvas(Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale))
    canvas.getContext('2d')?.drawImage(bitmap, 0, 0, canvas.width, canvas.height)
    bitmap.close()
    return await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.85 })
  } catch {
    return file // the browser cannot read it: the server says what it accepts
  }
}
