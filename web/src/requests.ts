import { createClient, KnowAllEdgeError, type Operation, type Operations, type StreamEvent } from '@knowalledge/client'
import { smallPhoto } from './photo.ts'
import { type Failure, go, type Item, page, photoUrl, signIn, task, update, updateItem, type Wait } from './state.ts'
import { levels } from './texts.ts'

const client = createClient({ baseUrl: new URL('.', document.baseURI) })

/** A refusal for a minute is waited for; one until tomorrow is shown. */
const maxRetryWaitMs = 10 * 60_000
/** So many places in line does the server give one learner, and so many are asked for at a time. */
const maxAtOnce = 3

let running = new AbortController()

/** Ends what runs; what is finished stays. */
export function cancel(): void {
  running.abort()
  running = new AbortController()
  task.value = null
  for (const [name, { status }] of Object.entries(page.value.items))
    if (status === 'queued' || status === 'working') updateItem(name, { status: 'stopped', wait: undefined })
}

export async function findSubtopics(): Promise<void> {
  cancel()
  const { topic, language } = page.value.question
  const { signal } = running
  const names = page.value.subtopics?.topic === topic ? page.value.subtopics.names : []
  task.value = { kind: 'subtopics' }
  try {
    const onWait = (wait?: Wait) => {
      task.value = { kind: 'subtopics', wait }
    }
    for await (const { event, data } of watched('create_subtopics', { topic, language }, { signal, onWait })) {
      if (event !== 'result') continue
      const origin = { cached: data.cached, stale: data.from_fallback, quality: data.quality_score, model: data.model }
      const isSame = names.join('\n') === data.subtopics.join('\n')
      const kept = isSame ? {} : { chosen: [], items: {} }
      task.value = null
      go('subtopics', { subtopics: { topic, names: data.subtopics, origin }, ...kept })
    }
  } catch (error) {
    onFailure(error, signal, findSubtopics, (failure) => {
      task.value = { kind: 'subtopics', failure }
    })
  }
}

export async function explainChosen(): Promise<void> {
  cancel()
  const { chosen, items } = page.value
  const known = Object.entries(items).filter(([name, { status }]) => status === 'done' && chosen.includes(name))
  const queued = chosen.filter((name) => items[name]?.status !== 'done')
  const all: Record<string, Item> = { ...Object.fromEntries(known) }
  for (const name of queued) all[name] = { status: 'queued' }
  if (page.value.view === 'lesson') update({ items: all })
  else go('lesson', { items: all })
  await explain(queued)
}

/** One call for each, a few at a time: each is shown when it is finished, and one that fails is asked for alone. */
export async function explain(names: string[]): Promise<void> {
  const { signal } = running
  for (const name of names) updateItem(name, { status: 'queued', failure: undefined })
  const queue = [...names]
  const work = async () => {
    for (let name = queue.shift(); name !== undefined && !signal.aborted; name = queue.shift())
      await explainOne(name, signal)
  }
  await Promise.all(Array.from({ length: maxAtOnce }, work))
}

async function explainOne(name: string, signal: AbortSignal): Promise<void> {
  const { topic, language, level, detail } = page.value.question
  const input = { topic, language, educationLevel: levels[level] ?? level, levelOfDetail: detail, focus: [name] }
  updateItem(name, { status: 'working', wait: undefined })
  try {
    const onWait = (wait?: Wait) => updateItem(name, { wait })
    for await (const { event, data } of watched('create_presentation', input, { signal, onWait })) {
      if (event !== 'item') continue
      if (data.explanation === null) throw new KnowAllEdgeError('unexplained', data.error ?? '')
      const origin = { cached: data.cached, stale: data.from_fallback, quality: data.quality_score, model: data.model }
      updateItem(name, {
        status: 'done',
        wait: undefined,
        explained: {
          text: data.explanation,
          application: data.real_world_application ?? '',
          videoQuery: data.youtube_search_query ?? '',
          origin,
        },
      })
    }
  } catch (error) {
    onFailure(
      error,
      signal,
      () => explain([name]),
      (failure) => updateItem(name, { status: 'failed', wait: undefined, failure }),
    )
  }
}

export async function drawImage(name: string): Promise<void> {
  const { signal } = running
  const prompt = `${name} (${page.value.question.topic})`.slice(0, 500)
  updateItem(name, { image: { status: 'working' } })
  try {
    const onWait = (wait?: Wait) => updateItem(name, { image: { status: 'working', wait } })
    for await (const { event, data } of watched('generate_image', { prompt }, { signal, onWait })) {
      // Below a path the page's own base counts.
      if (event === 'result') updateItem(name, { image: { status: 'done', url: data.url.replace(/^\//, '') } })
    }
  } catch (error) {
    if (signal.aborted) return updateItem(name, { image: { status: 'failed' } })
    onFailure(
      error,
      signal,
      () => drawImage(name),
      (failure) => updateItem(name, { image: { status: 'failed', failure } }),
    )
  }
}

export async function readPhoto(file: File): Promise<void> {
  cancel()
  const { signal } = running
  if (photoUrl.value) URL.revokeObjectURL(photoUrl.value)
  photoUrl.value = URL.createObjectURL(file)
  task.value = { kind: 'photo' }
  try {
    const { language } = page.value.question
    const onWait = (wait?: Wait) => {
      task.value = { kind: 'photo', wait }
    }
    const image = await smallPhoto(file)
    for await (const { event, data } of watched('image2topic', { image, language }, { signal, onWait })) {
      if (event !== 'result') continue
      task.value = null
      update({ question: { ...page.value.question, topic: data.generated_topic } })
    }
  } catch (error) {
    onFailure(
      error,
      signal,
      () => readPhoto(file),
      (failure) => {
        task.value = { kind: 'photo', failure }
      },
    )
  }
}

export async function logIn(key: string): Promise<Failure | undefined> {
  try {
    await client.login(key)
    const again = signIn.value?.again
    signIn.value = null
    again?.()
    return undefined
  } catch (error) {
    return failureOf(error)
  }
}

interface WatchOptions {
  signal: AbortSignal
  /** Told of each place in line and each refusal that is waited for; and of nothing once that is over. */
  onWait: (wait?: Wait) => void
}

async function* watched<O extends Operation>(
  operation: O,
  input: Operations[O]['input'],
  { signal, onWait }: WatchOptions,
): AsyncGenerator<StreamEvent<O>> {
  const onRetry = ({ waitMs }: { waitMs: number }) => onWait({ kind: 'refused', untilMs: Date.now() + waitMs })
  for await (const event of client.stream(operation, input, { signal, maxRetryWaitMs, onRetry })) {
    if (event.event === 'waiting') {
      const { starts_in_seconds, position } = event.data
      onWait(
        starts_in_seconds > 0 ? { kind: 'line', untilMs: Date.now() + starts_in_seconds * 1_000, position } : undefined,
      )
    }
    yield event
  }
}

/** Nothing when it was cancelled, a sign-in when the server wants one, and else what is shown. */
function onFailure(error: unknown, signal: AbortSignal, again: () => void, show: (failure: Failure) => void): void {
  if (signal.aborted) return
  const failure = failureOf(error)
  show(failure)
  if (failure.code !== 'unauthorized') return
  const waiting = signIn.value?.again
  signIn.value = {
    again: () => {
      waiting?.()
      again()
    },
  }
}

function failureOf(error: unknown): Failure {
  if (!(error instanceof KnowAllEdgeError)) return { code: 'unknown', message: String(error) }
  const { code, message, retryAfterMs, limitType } = error
  const isForToday = code === 'quota_exceeded' && (limitType === 'rpd' || limitType === 'tpd')
  return {
    code: isForToday ? 'quota_exceeded_today' : code,
    message,
    ...(retryAfterMs === undefined ? {} : { retryAtMs: Date.now() + retryAfterMs }),
  }
}
