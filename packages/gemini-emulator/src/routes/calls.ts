import type { FastifyInstance, FastifyReply } from 'fastify'
import { type Context, resolveTarget } from '../call.ts'
import { modelNotFound } from '../google-errors.ts'
import type { FaultState } from '../types.ts'
import { countTokens } from './count-tokens.ts'
import { generateContent } from './generate-content.ts'
import { predict } from './predict.ts'
import { sendStream } from './stream.ts'

const JSON_TYPE = 'application/json; charset=UTF-8'

/** `POST /models/{m}:{method}` for every method a model has. */
export function registerCalls(app: FastifyInstance, context: Context, version: string): void {
  app.post<{ Params: { target: string }; Querystring: { alt?: string } }>(
    `/${version}/models/:target`,
    async (request, reply) => {
      const target = resolveTarget(context, request, request.params.target, version)
      const call = { target, request, reply }
      switch (target.method) {
        case 'generateContent':
          return answer(reply, await generateContent(context, call))
        case 'streamGenerateContent': {
          const { response } = await generateContent(context, call)
          return request.query.alt === 'sse' ? sendStream(reply, response) : sendJson(reply, [response])
        }
        case 'countTokens':
          return sendJson(reply, await countTokens(context, call))
        case 'predict':
          return answer(reply, await predict(context, call))
        default:
          throw modelNotFound(target.model.name, version, target.method || 'post')
      }
    },
  )
}

function answer(
  reply: FastifyReply,
  { response, fault }: { response: unknown; fault: FaultState | undefined },
): FastifyReply {
  return sendJson(reply, response, fault?.kind === 'truncated_json')
}

/** Indented, as Google sends it. A truncated body is a whole HTTP answer whose JSON ends in the middle. */
export function sendJson(reply: FastifyReply, body: unknown, isTruncated = false): FastifyReply {
  const text = `${JSON.stringify(body, null, 2)}\n`
  return reply.header('content-type', JSON_TYPE).send(isTruncated ? text.slice(0, text.length / 2) : text)
}
