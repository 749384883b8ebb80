import {
  answerHeaders,
  answerLearning,
  documentWaiting,
  errorResponses,
  type GenerationAnswer,
  type GenerationTools,
  modelField,
} from '@knowalledge/generation'
import { type App, chooseLanguage, HttpError, ignoreUnlessText, trimTexts } from '@knowalledge/service-kit'
import { type Static, Type } from 'typebox'
import type { Explanation } from '../answers.ts'
import { explanationSpec } from '../questions.ts'

const Body = Type.Object({
  topic: Type.String({ minLength: 1, maxLength: 500, examples: ['Photosynthesis'] }),
  educationLevel: Type.String({ minLength: 1, maxLength: 100, examples: ['high school'] }),
  levelOfDetail: Type.String({
    minLength: 1,
    maxLength: 100,
    examples: ['normal'],
    description: 'Steers the length: about 100, 150 or 300 words',
  }),
  focus: Type.Array(Type.String({ minLength: 1, maxLength: 500 }), {
    minItems: 1,
    maxItems: 20,
    examples: [['Chlorophyll', 'The Calvin cycle']],
    description: 'The subtopics to explain',
  }),
  learningStyle: Type.Optional(Type.String({ maxLength: 100 })),
  language: Type.Optional(Type.String({ maxLength: 100 })),
})

const nullable = Type.Union([Type.String(), Type.Null()])
const ExplanationShape = Type.Object({
  subtopic: Type.String(),
  explanation: nullable,
  real_world_application: nullable,
  youtube_search_query: nullable,
  quality_score: Type.Union([Type.Number({ minimum: 0, maximum: 1 }), Type.Null()]),
  model: Type.Union([modelField, Type.Null()]),
  cached: Type.Boolean(),
  from_fallback: Type.Boolean(),
  error: Type.Union([Type.String(), Type.Null()], {
    description: 'Why there is no explanation; null when there is one',
  }),
})

const Answer = Type.Object(
  {
    explanations: Type.Array(ExplanationShape, { description: 'In the order of `focus`' }),
    success_count: Type.Integer(),
    failed_count: Type.Integer(),
  },
  { description: 'One entry for each subtopic, explained or with the reason why not', headers: answerHeaders },
)

/** What Gemini says against one explanation stands in its entry. */
const { 422: _, ...errors } = errorResponses

/** `POST /api/create_presentation`: one explanation for each subtopic in `focus`. */
export function createPresentation(app: App, tools: GenerationTools): void {
  app.post(
    '/api/create_presentation',
    {
      config: { endpoint: 'create_presentation', swaggerTransform: documentWaiting },
      preValidation: [ignoreUnlessText('learningStyle', 'language'), trimTexts],
      schema: {
        summary: 'Explanations of subtopics',
        tags: ['learning'],
        body: Body,
        response: { 200: Answer, ...errors },
      },
    },
    async (request, reply) => {
      const { focus, language: asked, ...rest } = request.body
      const language = chooseLanguage(asked, request.headers)
      const specs = focus.map((subtopic) => explanationSpec({ ...rest, subtopic, language }, tools))
      const entry = (result: Result, index: number) => shown(focus[index] as string, result)
      return await answerLearning(request, reply, {
        waiting: tools.waiting,
        work: async (context, parts) => {
          const results = await tools.generation.runAll(specs, context, (result, index) => {
            // A failure does not begin a stream: it may turn out to be that of the whole request.
            if (result.status === 'fulfilled' || parts.hasBegun) parts.item({ index, ...entry(result, index) })
          })
          if (!parts.hasBegun) throwCommonFailure(results)
          const failed = results.filter((result) => result.status === 'rejected').length
          const counts = { success_count: results.length - failed, failed_count: failed }
          const body = { explanations: results.map(entry), ...counts }
          return { body, layer: layerOfAll(results), models: modelsOf(results), counts }
        },
      })
    },
  )
}

type Result = PromiseSettledResult<GenerationAnswer<Explanation>>

/** Failures of the system and not of one explanation: when nothing was answered, they are the whole request's error. */
const systemFailures = new Set([
  'quota_exceeded',
  'quota_unavailable',
  'gemini_unavailable',
  'gemini_not_configured',
  'timeout',
  'internal_error',
])

function throwCommonFailure(results: Result[]): void {
  const reasons = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
  const unforeseen = reasons.find((reason) => !(reason instanceof HttpError))
  if (unforeseen) throw unforeseen
  const tooLarge = reasons.find((reason) => reason.code === 'presentation_too_large')
  if (tooLarge) throw tooLarge
  const system = reasons.find((reason) => systemFailures.has(reason.code))
  if (system && reasons.length === results.length) throw system
}

function shown(subtopic: string, result: Result): Static<typeof ExplanationShape> {
  if (result.status === 'rejected') {
    return {
      subtopic,
      explanation: null,
      real_world_application: null,
      youtube_search_query: null,
      quality_score: null,
      model: null,
      cached: false,
      from_fallback: false,
      error: (result.reason as HttpError).message,
    }
  }
  const { value, model, cached, fromFallback } = result.value
  return {
    subtopic,
    explanation: value.explanation,
    real_world_application: value.realWorldApplication,
    youtube_search_query: value.youtubeSearchQuery,
    quality_score: value.qualityScore,
    model,
    cached,
    from_fallback: fromFallback,
    error: null,
  }
}

function modelsOf(results: Result[]): string[] {
  return [...new Set(results.flatMap((result) => (result.status === 'fulfilled' ? [result.value.model] : [])))]
}

/** The layer that cost most: `miss` if any explanation was made now. */
function layerOfAll(results: Result[]): string {
  const layers = new Set(results.map((result) => (result.status === 'fulfilled' ? result.value.layer : 'miss')))
  return ['miss', 'fallback', 'redis', 'memory'].find((layer) => layers.has(layer as 'miss')) ?? 'miss'
}
