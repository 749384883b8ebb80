import { blocked, malformed, NOT_REPORTED, readCandidate, record } from './answer.ts'
import type { Endpoint } from './transport.ts'
import type { GeminiAnswer, Picture, TokenUsage } from './types.ts'

interface PictureRequest {
  prompt: string
  signal: AbortSignal
}

const ASPECT_RATIO = '1:1'

/** Draws through `:generateContent` of an image model. */
export async function generateWithGemini(endpoint: Endpoint, request: PictureRequest): Promise<GeminiAnswer<Picture>> {
  const response = await post(endpoint, 'generateContent', request.signal, {
    contents: [{ role: 'user', parts: [{ text: request.prompt }] }],
    generationConfig: { responseModalities: ['TEXT', 'IMAGE'], imageConfig: { aspectRatio: ASPECT_RATIO } },
  })
  const { parts, usage, modelVersion } = readCandidate(response, endpoint.model)
  const data = parts.map(({ inlineData }) => record(inlineData).data).find((found) => typeof found === 'string')
  if (typeof data !== 'string') throw malformed('The answer has no picture', usage)
  return { value: decodePicture(data, usage), usage, modelVersion }
}

/** Draws through Imagen's `:predict`, which reports neither tokens nor the model. */
export async function generateWithImagen(endpoint: Endpoint, request: PictureRequest): Promise<GeminiAnswer<Picture>> {
  const response = await post(endpoint, 'predict', request.signal, {
    instances: [{ prompt: request.prompt }],
    parameters: { sampleCount: 1, aspectRatio: ASPECT_RATIO },
  })
  const { predictions } = record(response)
  const found = Array.isArray(predictions) ? predictions.map(record) : []
  const data = found.map(({ bytesBase64Encoded }) => bytesBase64Encoded).find((bytes) => typeof bytes === 'string')
  if (typeof data === 'string') {
    return { value: decodePicture(data, NOT_REPORTED), usage: NOT_REPORTED, modelVersion: endpoint.model }
  }
  const filtered = found.find(({ raiFilteredReason }) => raiFilteredReason !== undefined)
  throw filtered
    ? blocked(`Imagen filtered the picture: ${filtered.raiFilteredReason}`)
    : malformed('The answer has no picture')
}

async function post(
  { baseUrl, apiKey, model, transport }: Endpoint,
  method: string,
  signal: AbortSignal,
  body: unknown,
): Promise<unknown> {
  const text = await transport.post({
    url: `${baseUrl}/v1beta/models/${encodeURIComponent(model)}:${method}`,
    headers: { 'content-type': 'application/json', 'x-goog-api-key': apiKey },
    body: JSON.stringify(body),
    signal,
  })
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw malformed('The answer is not JSON', undefined, cause)
  }
}

/** The type Google names is not trusted: it has been seen to send JPEG where PNG was expected. */
function decodePicture(base64: string, usage: TokenUsage): Picture {
  const bytes = Buffer.from(base64, 'base64')
  const mimeType = recognisePicture(bytes)
  if (!mimeType) throw malformed('The answer holds bytes that are no known picture', usage)
  return { bytes, mimeType }
}

/** The type of a picture by its magic numbers (PNG, JPEG, GIF, WebP), or undefined. */
export function recognisePicture(bytes: Uint8Array): string | undefined {
  const start = Buffer.from(bytes.subarray(0, 12)).toString('latin1')
  if (start.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png'
  if (start.startsWith('\xff\xd8\xff')) return 'image/jpeg'
  if (start.startsWith('GIF87a') || start.startsWith('GIF89a')) return 'image/gif'
  return start.startsWith('RIFF') && start.endsWith('WEBP') ? 'image/webp' : undefined
}
