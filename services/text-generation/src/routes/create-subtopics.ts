import type { Gemini } from '@knowalledge/gemini'
import type { Generation } from '@knowalledge/generation'
import type { Metrics } from '@knowalledge/metrics'
import { type App, chooseLanguage, clientSignal, errorResponses, trimBody } from '@knowalledge/service-kit'
import { Type } from 'typebox'
import { acceptSubtopics, type Subtopics } from '../answers.ts'
import { subtopicsPrompt } from '../prompts.ts'

const Body = Type.Object({
  topic: Type.String({ minLength: 1, maxLength: 500, examples: ['Photosynthesis'] }),
  language: Type.Optional(
    Type.String({ maxLength: 100, description: 'Such as `es`; falls back to Accept-Language, then English' }),
  ),
})

const Answer = Type.Object({
  subtopics: Type.Array(Type.String()),
  count: Type.Integer(),
  quality_score: Type.Number({ minimum: 0, maximum: 1 }),
  warnings: Type.Array(Type.String()),
  cached: Type.Boolean(),
  from_fallback: Type.Boolean({ description: 'True for a stale copy: a fresh answer could not be had' }),
})

/** Tokens reserved for one call; what was really used is settled afterwards. */
const estimatedTokens = 1_500

/** `POST /api/create_subtopics`: fifteen subtopics of a topic. */
export function createSubtopics(app: App, { generation, gemini, metrics }: TextTools): void {
  app.post(
    '/api/create_subtopics',
    {
      config: { endpoint: 'create_subtopics' },
      preValidation: trimBody,
      schema: {
        summary: 'Subtopics of a topic',
        tags: ['learning'],
        body: Body,
        response: { 200: Answer, ...errorResponses },
      },
    },
    async (request, reply) => {
      const language = chooseLanguage(request.body.language, request.headers['accept-language'])
      const question = { topic: request.body.topic, language }
      const prompt = subtopicsPrompt(question)
      const answer = await generation.run<Subtopics>(
        {
          operation: 'create_subtopics',
          promptVersion: prompt.version,
          model: gemini.models.text,
          language: language.tag,
          input: { topic: question.topic },
          topic: question.topic,
          priority: 'interactive',
          estimatedTokens,
          call: (signal) => gemini.generateJson({ ...prompt, signal }),
          accept: (raw) => acceptSubtopics(raw, question, metrics),
        },
        { signal: clientSignal(reply), log: request.log },
      )
      const { subtopics, qualityScore, warnings } = answer.value
      return reply.header('x-cache', answer.layer).send({
        subtopics,
        count: subtopics.length,
        quality_score: qualityScore,
        warnings,
        cached: answer.cached,
        from_fallback: answer.fromFallback,
      })
    },
  )
}

export interface TextTools {
  generation: Generation
  gemini: Gemini
  metrics: Metrics
}
