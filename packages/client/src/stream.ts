import { errorOfBody, KnowAllEdgeError, lostConnection } from './errors.ts'
import type {
  CreatePresentationAnswer,
  CreatePresentationBody,
  CreateSubtopicsAnswer,
  CreateSubtopicsBody,
  GenerateImageAnswer,
  GenerateImageBody,
  Image2TopicAnswer,
} from './schema.ts'
import { serverSentEvents } from './server-sent-events.ts'

export interface Image2TopicInput {
  /** PNG, JPEG, GIF or WebP, at most 10 MiB. */
  image: Blob
  language?: string
}

/** What each operation takes and gives. */
export interface Operations {
  create_subtopics: { input: CreateSubtopicsBody; answer: CreateSubtopicsAnswer }
  create_presentation: { input: CreatePresentationBody; answer: CreatePresentationAnswer }
  image2topic: { input: Image2TopicInput; answer: Image2TopicAnswer }
  generate_image: { input: GenerateImageBody; answer: GenerateImageAnswer }
}
export type Operation = keyof Operations

export type Explanation = CreatePresentationAnswer['explanations'][number]

/** The call waits in line; sent again whenever this changes. `position` counts the calls before it. */
export interface WaitingEvent {
  event: 'waiting'
  data: { starts_in_seconds: number; position: number }
}

/** An explanation, finished and checked; `index` is its place in `focus`. They come in order of completion. */
export interface ItemEvent {
  event: 'item'
  data: Explanation & { index: number }
}

export interface ResultEvent<Answer> {
  event: 'result'
  data: Answer
}

export interface DoneEvent {
  event: 'done'
  data: { success_count: number; failed_count: number }
}

export type StreamEvent<O extends Operation = Operation> =
  | WaitingEvent
  | DoneEvent
  | (O extends 'create_presentation' ? ItemEvent : ResultEvent<Operations[O]['answer']>)

const known = new Set(['waiting', 'item', 'result', 'done'])

/** The events of a response, up to `done`. One that is plain JSON is the same events without `waiting`. */
export async function* eventsOf<O extends Operation>(
  response: Response,
  signal?: AbortSignal,
): AsyncGenerator<StreamEvent<O>, void, undefined> {
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
  if (!isStream || !response.body) {
    yield* eventsOfAnswer(await jsonOf<Operations[Operation]['answer']>(response, signal)) as StreamEvent<O>[]
    return
  }
  try {
    for await (const { event, data } of serverSentEvents(response.body)) {
      if (event === 'error') throw errorOfBody(JSON.parse(data), response)
      if (!known.has(event)) continue // of a newer server
      yield { event, data: JSON.parse(data) } as StreamEvent<O>
      if (event === 'done') return
    }
  } catch (cause) {
    signal?.throwIfAborted()
    throw cause instanceof KnowAllEdgeError ? cause : lostConnection(response, cause)
  }
  throw lostConnection(response)
}

/** The body of a good response. */
export async function jsonOf<T>(response: Response, signal?: AbortSignal): Promise<T> {
  try {
    return (await response.json()) as T
  } catch (cause) {
    signal?.throwIfAborted()
    throw lostConnection(response, cause)
  }
}

function eventsOfAnswer(answer: Operations[Operation]['answer']): object[] {
  if (!('explanations' in answer)) {
    return [
      { event: 'result', data: answer },
      { event: 'done', data: { success_count: 1, failed_count: 0 } },
    ]
  }
  const { explanations, success_count, failed_count } = answer
  const items = explanations.map((item, index) => ({ event: 'item', data: { index, ...item } }))
  return [...items, { event: 'done', data: { success_count, failed_count } }]
}
