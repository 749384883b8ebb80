import { signal } from '@preact/signals'

export interface Question {
  topic: string
  language: string
  level: string
  detail: string
}

/** Where an answer came from and how good it is, as far as a learner wants to know. */
export interface Origin {
  cached: boolean
  stale: boolean
  quality: number | null
  /** The model that wrote it. */
  model: string | null
}

/** Why something has not begun yet, and when it is expected to. */
export interface Wait {
  kind: 'line' | 'refused'
  untilMs: number
  position?: number | undefined
}

/** `code` is an error of the API. `message` is shown where no text of ours fits. */
export interface Failure {
  code: string
  message: string
  retryAtMs?: number | undefined
}

export interface Explained {
  text: string
  application: string
  videoQuery: string
  origin: Origin
}

export interface Item {
  status: 'queued' | 'working' | 'done' | 'failed' | 'stopped'
  wait?: Wait | undefined
  failure?: Failure | undefined
  explained?: Explained | undefined
  image?: {
    status: 'working' | 'done' | 'failed'
    url?: string
    wait?: Wait | undefined
    failure?: Failure | undefined
  }
}

/** All of a page: kept in its entry of the browser's history, so that reload and back find it as it was. */
export interface Page {
  view: 'ask' | 'subtopics' | 'lesson'
  question: Question
  subtopics: { topic: string; names: string[]; origin: Origin } | null
  chosen: string[]
  items: Record<string, Item>
}

const firstPage: Page = {
  view: 'ask',
  question: { topic: '', language: '', level: 'highSchool', detail: 'normal' },
  subtopics: null,
  chosen: [],
  items: {},
}

export const page = signal<Page>(restored(history.state))
/** What runs besides explanations: it fills the view that asked for it. */
export const task = signal<{ kind: 'subtopics' | 'photo'; wait?: Wait | undefined; failure?: Failure } | null>(null)
export const photoUrl = signal<string | null>(null)
/** Set when the server requires a sign-in; called again after the sign-in. */
export const signIn = signal<{ again: () => void } | null>(null)
/** Ticks while a countdown is shown. */
export const nowMs = signal(Date.now())

let saving: ReturnType<typeof setTimeout> | undefined

/** Changes the page, and soon its history entry. */
export function update(change: Partial<Page>): void {
  page.value = { ...page.value, ...change }
  saving ??= setTimeout(save, 250)
}

export function updateItem(name: string, change: Partial<Item>): void {
  const { items } = page.value
  update({ items: { ...items, [name]: { ...(items[name] ?? { status: 'queued' }), ...change } } })
  // A reload keeps nothing that is saved only while the page is left.
  if (change.status === 'done' || change.image?.status === 'done') save()
}

/** Shows another view as a new history entry. */
export function go(view: Page['view'], change: Partial<Page> = {}): void {
  save()
  page.value = { ...page.value, ...change, view }
  history.pushState(page.value, '')
  scrollTo({ top: 0, behavior: 'instant' })
}

function save(): void {
  clearTimeout(saving)
  saving = undefined
  history.replaceState(page.value, '')
}

/** `onLeave` ends what runs for the page that is left. */
export function followHistory(onLeave: () => void): void {
  addEventListener('pagehide', save)
  addEventListener('popstate', ({ state }) => {
    onLeave()
    clearTimeout(saving)
    saving = undefined
    task.value = null
    page.value = restored(state)
  })
  setInterval(() => {
    nowMs.value = Date.now()
  }, 500)
}

/** What ran when the page was left runs no more. */
function restored(state: Page | null): Page {
  if (state === null) return firstPage
  const items = Object.entries(state.items).map(([name, item]): [string, Item] => {
    const { image, wait: _, ...rest } = item
    const status = item.status === 'queued' || item.status === 'working' ? 'stopped' : item.status
    return [name, { ...rest, status, ...(image && image.status !== 'working' ? { image } : {}) }]
  })
  return { ...state, items: Object.fromEntries(items) }
}
