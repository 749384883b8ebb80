import {
  answerHeaders,
  answerLearning,
  contextOf,
  documentWaiting,
  errorResponses,
  type GenerationAnswer,
  type GenerationTools,
  modelField,
  questionErrors,
} from '@knowalledge/generation'
import {
  type App,
  cachingHeaders,
  chooseLanguage,
  ignoreUnlessText,
  NothingNew,
  trimTexts,
} from '@knowalledge/service-kit'
import { type Static, Type } from 'typebox'
import type { Subtopics } from '../answers.ts'
import { isWhatTheClientHas } from '../cacheable.ts'
import { subtopicsSpec } from '../questions.ts'

const Question = Type.Object({
  topic: Type.String({ minLength: 1, maxLength: 500, examples: ['Photosynthesis'] }),
  language: Type.Optional(
    Type.String({ maxLength: 100, description: 'Such as `es`; falls back to Accept-Language, then English' }),
  ),
})

const Answer = Type.Object(
  {
    subtopics: Type.Array(Type.String()),
    count: Type.Integer(),
    quality_score: Type.Number({ minimum: 0, maximum: 1 }),
    warnings: Type.Array(Type.String()),
    model: modelField,
    cached: Type.Boolean(),
    from_fallback: Type.Boolean({ description: 'True for a stale copy: a fresh answer could not be had' }),
  },
  { description: 'Fifteen subtopics', headers: answerHeaders },
)
const CacheableAnswer = { ...Answer, headers: { ...answerHeaders, ...cachingHeaders } }

/** `POST /api/create_subtopics`, and `GET /api/subtopics` for browsers and the edge: fifteen subtopics of a topic. */
export function createSubtopics(app: App, tools: GenerationTools): void {
  const config = { endpoint: 'create_subtopics' as const }
  const about = { summary: 'Subtopics of a topic', tags: ['learning'] }

  app.post(
    '/api/create_subtopics',
    {
      config: { ...config, swaggerTransform: documentWaiting },
      preValidation: [ignoreUnlessText('language'), trimTexts],
      schema: { ...about, body: Question, response: { 200: Answer, ...errorResponses } },
    },
    async (request, reply) => {
      const question = { topic: request.body.topic, language: chooseLanguage(request.body.language, request.headers) }
      return await answerLearning(request, reply, {
        waiting: tools.waiting,
        work: async (context) => {
          const answer = await tools.generation.run(subtopicsSpec(question, tools), context)
          return { body: shown(answer), layer: answer.layer, models: [answer.model] }
        },
      })
    },
  )

  app.get(
    '/api/subtopics',
    {
      config,
      preValidation: trimTexts,
      schema: {
        ...about,
        querystring: Question,
        response: { 200: CacheableAnswer, 304: NothingNew, ...questionErrors },
      },
    },
    async (request, reply) => {
      const question = { topic: request.query.topic, language: chooseLanguage(request.query.language, request.headers) }
      const answer = await tools.generation.run(subtopicsSpec(question, tools), contextOf(request, reply))
      if (isWhatTheClientHas(request, reply, answer)) return reply.code(304).send()
      return reply.send(shown(answer))
    },
  )
}

function shown({ value, model, cached, fromFallback }: GenerationAnswer<Subtopics>): Static<typeof Answer> {
  const { subtopics, qualityScore, warnings } = value
  return {
    subtopics,
    count: subtopics.length,
    quality_score: qualityScore,
    warnings,
    model,
    cached,
    from_fallback: fromFallback,
  }
}
