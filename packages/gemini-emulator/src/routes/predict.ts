import type { FastifyReply, FastifyRequest } from 'fastify'
import { admitCall, type Context, type Target } from '../call.ts'
import { draw } from '../content/drawing.ts'
import { invalidArgument } from '../google-errors.ts'
import { countTextTokens } from '../tokens.ts'
import type { FaultState } from '../types.ts'
import { isRecord, record } from '../wire.ts'

interface Prediction {
  bytesBase64Encoded?: string
  mimeType?: string
  raiFilteredReason?: string
}

/** Answers Imagen's `:predict`. Predictions have no usage: pictures are billed each. */
export async function predict(
  context: Context,
  { target, request, reply }: { target: Target; request: FastifyRequest; reply: FastifyReply },
): Promise<{ response: { predictions?: Prediction[] }; fault: FaultState | undefined }> {
  const { instances, parameters } = record(request.body)
  const first: unknown = Array.isArray(instances) ? instances[0] : undefined
  if (!isRecord(first) || typeof first.prompt !== 'string' || first.prompt === '') {
    throw invalidArgument('* PredictRequest.instances: instances[0].prompt is not specified\n')
  }
  const prompt = first.prompt
  const { sampleCount = 1, aspectRatio = '1:1' } = record(parameters)
  const promptTokens = countTextTokens(prompt)
  const fault = await admitCall(context, {
    target,
    subject: {
      task: 'image',
      system: '',
      prompt,
      pictures: [],
      promptTokens,
      maxOutputTokens: undefined,
      isMetered: true,
    },
    reply,
  })
  if (fault?.kind === 'empty_candidates') return { response: {}, fault }
  if (fault?.kind === 'safety_prompt' || fault?.kind === 'safety_candidate') {
    return { response: { predictions: [{ raiFilteredReason: filteredReason(fault.reason) }] }, fault }
  }
  const count = Math.min(Math.max(Math.trunc(Number(sampleCount)) || 1, 1), 4)
  const drawings = Array.from({ length: count }, (_, index) =>
    draw(index === 0 ? prompt : `${prompt} (${index + 1})`, String(aspectRatio), context.options.pictureFormat),
  )
  const drawn = await Promise.all(drawings)
  const predictions = drawn.map(({ bytes, mimeType }) => ({ mimeType, bytesBase64Encoded: bytes.toString('base64') }))
  return { response: { predictions }, fault }
}

function filteredReason(reason = '58061214'): string {
  return (
    "Unable to show generated images. All images were filtered out because they violated Google's Responsible AI " +
    `practices. Support codes: ${reason}`
  )
}
