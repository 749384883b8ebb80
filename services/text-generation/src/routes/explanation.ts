import { answerHeaders, contextOf, type GenerationTools, modelField, questionErrors } from '@knowalledge/generation'
import { type App, cachingHeaders, chooseLanguage, NothingNew, trimTexts } from '@knowalledge/service-kit'
import { Type } from 'typebox'
import { isWhatTheClientHas } from '../cacheable.ts'
import { explanationSpec } from '../questions.ts'

const Question = Type.Object({
  topic: Type.String({ minLength: 1, maxLength: 500, examples: ['Photosynthesis'] }),
  subtopic: Type.String({ minLength: 1, maxLength: 500, examples: ['Chlorophyll'] }),
  educationLevel: Type.String({ minLength: 1, maxLength: 100, examples: ['high school'] }),
  levelOfDetail: Type.String({ minLength: 1, maxLength: 100, examples: ['normal'] }),
  learningStyle: Type.Optional(Type.String({ maxLength: 100 })),
  language: Type.Optional(Type.String({ maxLength: 100 })),
})

const Answer = Type.Object(
  {
    subtopic: Type.String(),
    explanation: Type.String(),
    real_world_application: Type.String(),
    youtube_search_query: Type.String(),
    quality_score: Type.Number({ minimum: 0, maximum: 1 }),
    model: modelField,
    cached: Type.Boolean(),
    from_fallback: Type.Boolean(),
  },
  { description: 'One explanation', headers: { ...answerHeaders, ...cachingHeaders } },
)

/** `GET /api/explanation`: one explanation of a presentation by itself, for browsers and the edge to keep. */
export function explanation(app: App, tools: GenerationTools): void {
  app.get(
    '/api/explanation',
    {
      config: { endpoint: 'create_presentation' },
      preValidation: trimTexts,
      schema: {
        summary: 'Explanation of one subtopic',
        tags: ['learning'],
        querystring: Question,
        response: { 200: Answer, 304: NothingNew, ...questionErrors },
      },
    },
    async (request, reply) => {
      const { language: asked, ...rest } = request.query
      const question = { ...rest, language: chooseLanguage(asked, request.headers) }
      const answer = await tools.generation.run(explanationSpec(question, tools), contextOf(request, reply))
      if (isWhatTheClientHas(request, reply, answer)) return reply.code(304).send()
      const { value, model, cached, fromFallback } = answer
      return reply.send({
        subtopic: question.subtopic,
        explanation: value.explanation,
        real_world_application: value.realWorldApplication,
        youtube_search_query: value.youtubeSearchQuery,
        quality_score: value.qualityScore,
        model,
        cached,
        from_fallback: fromFallback,
      })
    },
  )
}
