import type { Picture } from '@knowalledge/gemini'
import {
  answerHeaders,
  answerKey,
  answerLearning,
  documentWaiting,
  errorResponses,
  type GenerationSpec,
  type GenerationTools,
  modelField,
} from '@knowalledge/generation'
import { normaliseInput } from '@knowalledge/response-cache'
import { type App, trimTexts } from '@knowalledge/service-kit'
import { Type } from 'typebox'
import { type Drawing, formatOf, rememberByHash, toDrawing } from '../drawing.ts'

const Body = Type.Object({
  prompt: Type.String({ minLength: 1, maxLength: 500, examples: ['A leaf that turns sunlight into sugar'] }),
})

const Answer = Type.Object(
  {
    image: Type.String({ contentEncoding: 'base64' }),
    format: Type.Enum(['base64_png', 'base64_jpeg'], { description: 'What `image` truly is' }),
    mime_type: Type.Enum(['image/png', 'image/jpeg']),
    url: Type.String({ description: 'The same picture as plain bytes, as long as it is cached' }),
    model: modelField,
    cached: Type.Boolean(),
    from_fallback: Type.Boolean(),
  },
  { description: 'The picture, and where it is to be had again', headers: answerHeaders },
)

/** Tokens reserved for one picture; what was really used is settled afterwards. */
const estimatedTokens = 500

/** The prompt goes to the model as the client wrote it, without what nobody sees; this changes if that ever does. */
const promptVersion = 'image-2'

/** `POST /api/generate_image`: a picture of what the prompt says. */
export function generateImage(app: App, tools: GenerationTools, imageBackend: 'gemini' | 'imagen'): void {
  const { generation, gemini, models, metrics, cache, waiting } = tools
  app.post(
    '/api/generate_image',
    {
      config: { endpoint: 'generate_image', swaggerTransform: documentWaiting },
      preValidation: trimTexts,
      schema: {
        summary: 'A picture of a topic',
        tags: ['learning'],
        body: Body,
        response: { 200: Answer, ...errorResponses },
      },
    },
    async (request, reply) => {
      const prompt = normaliseInput(request.body.prompt)
      const spec: GenerationSpec<Drawing> = {
        operation: 'generate_image',
        promptVersion,
        models,
        language: '',
        input: { prompt },
        priority: 'interactive',
        estimatedTokens,
        call: ({ model, signal }) => gemini.generatePicture({ prompt, model, signal }),
        accept: (raw) => ({ value: toDrawing(raw as Picture), passed: true }),
      }
      return await answerLearning(request, reply, {
        waiting,
        work: async (context) => {
          const { value: drawing, ...answer } = await generation.run(spec, context)
          if (!answer.cached) await rememberByHash(cache, drawing, answerKey(spec, answer.model))
          metrics.imageGenerated(answer.fromFallback ? 'fallback' : answer.cached ? 'cache' : imageBackend)
          const body = {
            image: drawing.base64,
            format: formatOf(drawing),
            mime_type: drawing.mimeType,
            url: `/api/images/${drawing.sha256}`,
            model: answer.model,
            cached: answer.cached,
            from_fallback: answer.fromFallback,
          }
          return { body, layer: answer.layer, models: [answer.model] }
        },
      })
    },
  )
}
