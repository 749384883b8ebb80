import { Readable } from 'node:stream'
import { HttpError, internalMessage } from '@knowalledge/service-kit'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { contextOf } from './gateway-headers.ts'
import type { PlacesInLine } from './places-in-line.ts'
import type { RunContext, RunWait } from './types.ts'

/** What holds for every client that waits in line. */
export interface Waiting {
  maxWaitSeconds: number
  maxStreamWaitSeconds: number
  /** Aborts, with an HttpError, when this instance closes: calls in line are refused, those under way are finished. */
  closing: AbortSignal
  places: PlacesInLine
}

/** What became of a request: the JSON answer, its `X-Cache` and its `X-Model`. */
export interface LearningAnswer {
  body: object
  layer: string
  /** That wrote it. */
  models: string[]
  /** For an answer that went out as items. */
  counts?: { success_count: number; failed_count: number }
}

/** Takes parts of an answer that are finished before all of it is. */
export interface Parts {
  /** True when the client has had an event, so that the request as a whole cannot fail any more. */
  hasBegun: boolean
  item(data: object): void
}

export type Work = (context: RunContext, parts: Parts) => Promise<LearningAnswer>

const commentEveryMs = 10_000
/** A client that reads slowly gets no more of what the next event replaces. */
const unreadBytes = 16 * 1024

/**
 * Answers a learning POST. With `Accept: text/event-stream` it waits in line and sends events; with `Prefer: wait=N` (RFC
 * 7240) it waits up to N seconds for its start; otherwise what cannot start now is refused.
 */
export async function answerLearning(
  request: FastifyRequest,
  reply: FastifyReply,
  { waiting, work }: { waiting: Waiting; work: Work },
): Promise<FastifyReply> {
  const context = contextOf(request, reply)
  if (acceptsEvents(request)) return await answerWithEvents(reply, { context, waiting, work })
  const seconds = Math.min(preferredWait(request) ?? 0, waiting.maxWaitSeconds)
  if (seconds > 0) {
    reply.header('preference-applied', `wait=${seconds}`)
    context.wait = waitOf(context, seconds, waiting)
  }
  const { body, layer, models } = await work(context, { hasBegun: false, item() {} })
  if (models.length > 0) reply.header('x-model', models.join(', '))
  return reply.header('x-cache', layer).send(body)
}

async function answerWithEvents(
  reply: FastifyReply,
  { context, waiting, work }: { context: RunContext; waiting: Waiting; work: Work },
): Promise<FastifyReply> {
  const stream = new EventStream()
  context.wait = {
    ...waitOf(context, waiting.maxStreamWaitSeconds, waiting),
    onPlace: ({ startsInMs, position }) =>
      stream.send('waiting', { starts_in_seconds: Math.ceil(startsInMs / 1000), position: position - 1 }),
  }
  const finished = work(context, stream).then(({ body, counts }) => {
    if (!counts) stream.send('result', body)
    stream.send('done', counts ?? { success_count: 1, failed_count: 0 })
  })
  // Until the first event a failure is a status, as without a stream.
  try {
    await Promise.race([stream.begun, finished])
  } catch (error) {
    stream.end()
    throw error
  }
  finished
    .catch((thrown) => {
      if (!(thrown instanceof HttpError)) context.log.error({ err: thrown }, 'a stream failed')
      const { code, message, fields } = thrown instanceof HttpError ? thrown : unforeseen
      stream.send('error', { error: code, message, ...fields })
    })
    .finally(() => stream.end())
  reply.raw.once('close', () => stream.end())
  return reply
    .header('content-type', 'text/event-stream; charset=utf-8')
    .header('cache-control', 'no-store')
    .header('x-accel-buffering', 'no')
    .send(stream.body)
}

function waitOf({ client }: RunContext, seconds: number, { closing, places }: Waiting): RunWait {
  const untilMs = performance.now() + seconds * 1000
  const expired = AbortSignal.timeout(seconds * 1000)
  return { untilMs, expired, places, owners: places.ownersFor(client), line: new Map(), closing }
}

const unforeseen = new HttpError('internal_error', internalMessage)

/** Server-sent events of one answer. What is not read is kept: an answer is small, and `waiting` is not repeated. */
class EventStream implements Parts {
  readonly body = new Readable({ read() {} })
  hasBegun = false
  readonly #begun = Promise.withResolvers<void>()
  readonly #comments: NodeJS.Timeout
  #hasEnded = false

  constructor() {
    this.#comments = setInterval(() => this.#push(': still here\n\n', true), commentEveryMs).unref()
  }

  /** Resolves with the first event. */
  get begun(): Promise<void> {
    return this.#begun.promise
  }

  send(event: 'waiting' | 'item' | 'result' | 'done' | 'error', data: object): void {
    this.#push(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`, event === 'waiting')
    this.hasBegun = true
    this.#begun.resolve()
  }

  item(data: object): void {
    this.send('item', data)
  }

  end(): void {
    clearInterval(this.#comments)
    if (!this.#hasEnded) this.body.push(null)
    this.#hasEnded = true
  }

  #push(text: string, isReplaceable: boolean): void {
    if (this.#hasEnded || (isReplaceable && this.body.readableLength > unreadBytes)) return
    this.body.push(text)
  }
}

function acceptsEvents({ headers }: FastifyRequest): boolean {
  return /(?:^|,)\s*text\/event-stream\s*(?:;|,|$)/i.test(headers.accept ?? '')
}

/** The seconds of `Prefer: wait=N`; a preference that makes no sense is ignored, as RFC 7240 says. */
function preferredWait({ headers }: FastifyRequest): number | undefined {
  const seconds = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,6})"?\s*(?:[,;]|$)/i.exec(String(headers.prefer ?? ''))?.[1]
  return seconds === undefined ? undefined : Number(seconds)
}
