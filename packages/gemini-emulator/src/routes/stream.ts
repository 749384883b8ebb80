import type { FastifyReply } from 'fastify'
import type { Candidate, GenerateContentResponse, UsageMetadata } from '../wire.ts'

const CHUNKS = 4

/** Sends an answer as server-sent events, framed exactly as Google frames them. */
export function sendStream(reply: FastifyReply, response: GenerateContentResponse): FastifyReply {
  const frames = chunksOf(response).map((chunk) => `data: ${JSON.stringify(chunk)}\r\n\r\n`)
  return reply.header('content-type', 'text/event-stream').send(frames.join(''))
}

/** One responseId, cumulative usage, and the finishReason on the last chunk only, whose content has no parts. */
function chunksOf(response: GenerateContentResponse): GenerateContentResponse[] {
  const { candidates: [candidate] = [], usageMetadata, ...rest } = response
  if (!candidate?.content?.parts) return [response]
  const pieces = candidate.content.parts.flatMap((part) =>
    part.text === undefined ? [part] : cut(part.text).map((text) => ({ ...part, text })),
  )
  const content = (parts?: typeof pieces): Candidate['content'] => ({ ...(parts && { parts }), role: 'model' })
  const usageAfter = (shown: number) =>
    usageMetadata && { usageMetadata: partialUsage(usageMetadata, shown / pieces.length) }
  return [
    ...pieces.map((piece, index) => ({
      candidates: [{ content: content([piece]), index: 0 } as Candidate],
      ...usageAfter(index + 1),
      ...rest,
    })),
    {
      candidates: [{ ...candidate, content: content() }],
      ...(usageMetadata && { usageMetadata }),
      ...rest,
    } as GenerateContentResponse,
  ]
}

function partialUsage(usage: UsageMetadata, share: number): UsageMetadata {
  const { promptTokenCount = 0, thoughtsTokenCount = 0 } = usage
  const candidatesTokenCount = Math.floor((usage.candidatesTokenCount ?? 0) * share)
  const totalTokenCount = promptTokenCount + candidatesTokenCount + thoughtsTokenCount
  return { ...usage, candidatesTokenCount, totalTokenCount }
}

function cut(text: string): string[] {
  const letters = [...text]
  const size = Math.max(1, Math.ceil(letters.length / CHUNKS))
  return Array.from({ length: Math.ceil(letters.length / size) }, (_, at) =>
    letters.slice(at * size, (at + 1) * size).join(''),
  )
}
