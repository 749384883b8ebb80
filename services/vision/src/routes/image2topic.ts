import { createHash } from 'node:crypto'
import multipart from '@fastify/multipart'
import { answerHeaders, contextOf, errorResponses, type GenerationTools } from '@knowalledge/generation'
import { type App, chooseLanguage, type ErrorName, HttpError } from '@knowalledge/service-kit'
import pLimit from 'p-limit'
import { Type } from 'typebox'
import { maxImageBytes, PictureError, preparePicture } from '../picture.ts'
import { topicPrompt, topicPromptVersion, topicSchema } from '../prompts.ts'
import { acceptTopic, type Topic } from '../topic.ts'
import { readUpload } from '../upload.ts'

/** For the docs only: the body is read as a stream, and what is wrong with it is said by `readUpload`. */
const Form = Type.Object({
  image: Type.Unsafe<never>({
    type: 'string',
    format: 'binary',
    description: 'PNG, JPEG, GIF or WebP; at most 10 MiB and 50 megapixels',
  }),
  language: Type.Optional(Type.String({ description: 'Such as `es`; falls back to Accept-Language, then English' })),
})

const Answer = Type.Object(
  {
    generated_topic: Type.String(),
    quality_score: Type.Number({ minimum: 0, maximum: 1 }),
    warnings: Type.Array(Type.String()),
    cached: Type.Boolean(),
    from_fallback: Type.Boolean(),
  },
  { description: 'What the picture shows', headers: answerHeaders },
)

/** Tokens reserved for one call; what was really used is settled afterwards. */
const estimatedTokens = 2_000

/** A picture at the bound takes half a gigabyte while it is scaled, so only this many are worked on at once. */
const preparing = pLimit(2)

/** `POST /api/image2topic`: the topic that a picture shows. */
export function image2Topic(app: App, { generation, gemini }: GenerationTools): void {
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
        config: { endpoint: 'image2topic' },
        bodyLimit: maxImageBytes + 64 * 1024,
        validatorCompiler: () => () => true,
        schema: {
          summary: 'The topic of a picture',
          tags: ['learning'],
          consumes: ['multipart/form-data'],
          body: Form,
          response: { 200: Answer, ...errorResponses },
        },
      },
      async (request, reply) => {
        const upload = await readUpload(request)
        const picture = await preparing(() => preparePicture(upload.bytes)).catch(rejectPicture)
        const language = chooseLanguage(upload.language, request.headers)
        const answer = await generation.run<Topic>(
          {
            operation: 'image2topic',
            promptVersion: topicPromptVersion,
            model: gemini.models.vision,
            language: language.tag,
            input: { sha256: createHash('sha256').update(upload.bytes).digest('hex') },
            priority: 'interactive',
            estimatedTokens,
            call: (signal) =>
              gemini.describePicture({ ...topicPrompt(language), schema: topicSchema, picture, signal }),
            accept: (raw) => acceptTopic(raw, language),
          },
          contextOf(request, reply),
        )
        const { topic, qualityScore, warnings } = answer.value
        return reply.header('x-cache', answer.layer).send({
          generated_topic: topic,
          quality_score: qualityScore,
          warnings,
          cached: answer.cached,
          from_fallback: answer.fromFallback,
        })
      },
    ),
  )
}

const pictureErrors: Record<PictureError['problem'], ErrorName> = {
  empty: 'invalid_input',
  broken: 'invalid_input',
  unsupported_type: 'unsupported_media_type',
  too_many_pixels: 'payload_too_large',
  too_many_frames: 'payload_too_large',
}

function rejectPicture(error: unknown): never {
  if (!(error instanceof PictureError)) throw error
  throw new HttpError(pictureErrors[error.problem], `image: ${error.message}`)
}
