import type { FastifyReply, FastifyRequest } from 'fastify'
import { admitCall, type Context, type Target } from '../call.ts'
import { isRecord, readAsk } from '../wire.ts'

/** Answers `:countTokens`, for bare contents and for a whole generateContentRequest. Takes no quota. */
export async function countTokens(
  context: Context,
  { target, request, reply }: { target: Target; request: FastifyRequest; reply: FastifyReply },
) {
  const { body } = request
  const counted = isRecord(body) && isRecord(body.generateContentRequest) ? body.generateContentRequest : body
  const ask = readAsk(counted, target.model.name)
  const { text, pictures } = ask.promptTokens
  await admitCall(context, {
    target,
    subject: { ...ask, task: 'count_tokens', promptTokens: text + pictures, isMetered: false },
    reply,
  })
  return {
    totalTokens: text + pictures,
    promptTokensDetails: [
      ...(text > 0 ? [{ modality: 'TEXT', tokenCount: text }] : []),
      ...(pictures > 0 ? [{ modality: 'IMAGE', tokenCount: pictures }] : []),
    ],
  }
}
