import { type CallOptions, type ClientOptions, createSend, type HttpRequest } from './http.ts'
import type {
  CreatePresentationAnswer,
  CreatePresentationBody,
  CreateSubtopicsAnswer,
  CreateSubtopicsBody,
  GenerateImageAnswer,
  GenerateImageBody,
  GetExplanationAnswer,
  GetExplanationQuery,
  GetHealthAnswer,
  GetQuotaStatsAnswer,
  GetReadyAnswer,
  GetSessionAnswer,
  GetSubtopicsAnswer,
  GetSubtopicsQuery,
  Image2TopicAnswer,
  SessionAnswer,
} from './schema.ts'
import { eventsOf, type Image2TopicInput, jsonOf, type Operation, type Operations, type StreamEvent } from './stream.ts'

export type Client = ReturnType<typeof createClient>

/** One method for each operation of the API. Every call rejects with a KnowAllEdgeError, or its signal's reason. */
export function createClient(options: ClientOptions) {
  const send = createSend(options)
  const json = async <T>(request: HttpRequest, call: CallOptions = {}): Promise<T> =>
    jsonOf<T>(await send(request, call), call.signal)
  const get = <T>(path: string, call?: CallOptions, more: Partial<HttpRequest> = {}) =>
    json<T>({ method: 'GET', path: `api/${path}`, ...more }, call)
  const post = <T>(operation: Operation, input: object, call?: CallOptions) => json<T>(postOf(operation, input), call)

  return {
    createSubtopics: (body: CreateSubtopicsBody, call?: CallOptions) =>
      post<CreateSubtopicsAnswer>('create_subtopics', body, call),
    createPresentation: (body: CreatePresentationBody, call?: CallOptions) =>
      post<CreatePresentationAnswer>('create_presentation', body, call),
    image2topic: (input: Image2TopicInput, call?: CallOptions) => post<Image2TopicAnswer>('image2topic', input, call),
    generateImage: (body: GenerateImageBody, call?: CallOptions) =>
      post<GenerateImageAnswer>('generate_image', body, call),

    /**
     * The same operations with what happens meanwhile: places in line, each explanation as it is finished, the result.
     * Leaving the loop, or the signal, ends the call on the server too. A stream that breaks off is not repeated.
     */
    async *stream<O extends Operation>(
      operation: O,
      input: Operations[O]['input'],
      call: CallOptions = {},
    ): AsyncGenerator<StreamEvent<O>, void, undefined> {
      const accept = 'text/event-stream, application/json;q=0.9'
      yield* eventsOf<O>(await send({ ...postOf(operation, input), accept }, call), call.signal)
    },

    getSubtopics: (query: GetSubtopicsQuery, call?: CallOptions) =>
      get<GetSubtopicsAnswer>('subtopics', call, { query }),
    getExplanation: (query: GetExplanationQuery, call?: CallOptions) =>
      get<GetExplanationAnswer>('explanation', call, { query }),
    /** A generated image, as long as it is cached; its hash ends the `url` of the answer that made it. */
    getImage: async (sha256: string, call?: CallOptions): Promise<Blob> =>
      await (
        await send({ method: 'GET', path: `api/images/${encodeURIComponent(sha256)}`, accept: '*/*' }, call)
      ).blob(),

    getQuotaStats: (call?: CallOptions) => get<GetQuotaStatsAnswer>('quota/stats', call),
    getHealth: (call?: CallOptions) => get<GetHealthAnswer>('health', call, { alsoAnswers: [503] }),
    getReady: (call?: CallOptions) => get<GetReadyAnswer>('ready', call, { alsoAnswers: [503] }),

    /** Exchanges an API key for a session cookie, which scripts cannot read. CSRF tokens are handled by the client. */
    login: (key: string, call?: CallOptions) =>
      json<SessionAnswer>({ method: 'POST', path: 'api/session', headers: { 'x-api-key': key } }, call),
    getSession: (call?: CallOptions) => get<GetSessionAnswer>('session', call),
    logout: async (call?: CallOptions): Promise<void> => {
      await send({ method: 'DELETE', path: 'api/session' }, call)
    },
  }
}

function postOf(operation: Operation, input: object): HttpRequest {
  return { method: 'POST', path: `api/${operation}`, body: operation === 'image2topic' ? formOf(input) : input }
}

function formOf(input: object): FormData {
  const { image, language } = input as Image2TopicInput
  const form = new FormData()
  if (language !== undefined) form.set('language', language)
  form.set('image', image)
  return form
}
