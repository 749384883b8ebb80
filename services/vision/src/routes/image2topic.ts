import { createHash } from 'node:crypto'
import multipart from '@fastify/multipart'
import {
  answerHeaders,
  answerLearning,
  documentWaiting,
  errorResponses,
  type GenerationTools,
  modelField,
} from '@knowalledge/generation'
import { type App, chooseLanguage, type ErrorName, HttpError } from '@knowalledge/service-kit'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { DecoderPool } from '../decoder-pool.ts'
import { ImageError } from '../image-error.ts'
import { maxImageBytes } from '../limits.ts'
import { topicPrompt, topicPromptVersion, topicSchema } from '../prompts.ts'
import { acceptTopic, type Topic } from '../topic.ts'
import { readUpload } from '../upload.ts'
import { UploadBuffer, UploadMemory } from '../upload-memory.ts'

/** For the docs only: the body is read as a stream, and what is wrong with it is said by `readUpload`. */
const Form = Type.Object({
  image: Type.Unsafe<never>({
    type: 'string',
    format: 'binary',
    description: 'PNG, JPEG, GIF or WebP; at most 10 MiB, 50 megapixels, 20,000 pixels a side and 200 MB decoded',
  }),
  language: Type.Optional(Type.String({ description: 'Such as `es`; falls back to Accept-Language, then English' })),
})

const Answer = Type.Object(
  {
    generated_topic: Type.String(),
    quality_score: Type.Number({ minimum: 0, maximum: 1 }),
    warnings: Type.Array(Type.String()),
    model: modelField,
    cached: Type.Boolean(),
    from_fallback: Type.Boolean(),
  },
  { description: 'What the image shows', headers: answerHeaders },
)

/** Tokens reserved for one call; what was really used is settled afterwards. */
const estimatedTokens = 2_000

export interface Image2TopicOptions {
  tools: GenerationTools
  maxUploadBytes: number
}

/** `POST /api/image2topic`: the topic that an image shows. */
export function image2Topic(app: App, { tools, maxUploadBytes }: Image2TopicOptions): void {
  const { generation, gemini, models, thinkingBudgets, waiting } = tools
  const uploads = new UploadMemory(maxUploadBytes, app.log)
  const decoders = new DecoderPool()
  app.addHook('onClose', () => decoders.close())
  app.register(multipart, {
    limits: {
      fileSize: maxImageBytes,
      fields: 20,
      fieldNameSize: 100,
      fieldSize: 1_000,
      files: 5,
      parts: 25,
      headerPairs: 50,
    },
  })
  app.after(() =>
    app.post(
      '/api/image2topic',
      {
        config: { endpoint: 'image2topic', swaggerTransform: documentWaiting },
        bodyLimit: maxImageBytes + 64 * 1024,
        validatorCompiler: () => () => true,
        schema: {
          summary: 'The topic of an image',
          tags: ['learning'],
          consumes: ['multipart/form-data'],
          body: Form,
          response: { 200: Answer, ...errorResponses },
        },
      },
      async (request, reply) => {
        return await answerLearning(request, reply, {
          waiting,
          work: async (context) => {
            const buffer = new UploadBuffer(uploads)
            try {
              const question = await readQuestion(request, { buffer, decoders, signal: context.signal })
              const language = chooseLanguage(question.language, request.headers)
              const answer = await generation.run<Topic>(
                {
                  operation: 'image2topic',
                  promptVersion: topicPromptVersion,
                  models,
                  language: language.tag,
                  input: { sha256: question.sha256 },
                  priority: 'interactive',
                  estimatedTokens,
                  call: (ask) =>
                    gemini.describePicture({
                      ...topicPrompt(language),
                      schema: topicSchema,
                      picture: question.image,
                      thinkingBudget: thinkingBudgets.image2topic,
                      ...ask,
                    }),
                  accept: (raw) => acceptTopic(raw, language),
                },
                context,
              )
              const { topic, qualityScore, warnings } = answer.value
              const body = {
                generated_topic: topic,
                quality_score: qualityScore,
                warnings,
                model: answer.model,
                cached: answer.cached,
                from_fallback: answer.fromFallback,
              }
              return { body, layer: answer.layer, models: [answer.model] }
            } finally {
              buffer.release()
            }
          },
        })
      },
    ),
  )
}

interface QuestionTools {
  buffer: UploadBuffer
  decoders: DecoderPool
  signal: AbortSignal
}

/** When this resolves the prepared image has taken the place of the upload. */
async function readQuestion(request: FastifyRequest, { buffer, decoders, signal }: QuestionTools) {
  const { content, language } = await readUpload(request, buffer)
  const hash = createHash('sha256')
  for (const part of content) hash.update(part)
  const image = await decoders.prepare(content, signal).catch(rejectImage)
  buffer.replaceBy(image.bytes.length)
  return { image, sha256: hash.digest('hex'), language }
}

const imageErrors: Record<ImageError['problem'], ErrorName> = {
  empty: 'invalid_input',
  broken: 'invalid_input',
  unsupported_type: 'unsupported_media_type',
  too_many_pixels: 'payload_too_large',
  too_many_decoded_bytes: 'payload_too_large',
  too_many_scans: 'payload_too_large',
  too_many_chunks: 'payload_too_large',
  too_much_metadata: 'payload_too_large',
  too_many_frames: 'payload_too_large',
  too_slow: 'timeout',
}

function rejectImage(error: unknown): never {
  if (!(error instanceof ImageError)) throw error
  throw new HttpError(imageErrors[error.problem], `image: ${error.message}`)
}
