import { html } from '../html.ts'
import { type Failure, nowMs, type Origin, page, type Wait } from '../state.ts'
import { fill, t } from '../texts.ts'

/** `12 s`, `3 min`, `11 hr`, in the language of the page. */
function duration(untilMs: number): string {
  const seconds = Math.max(0, Math.ceil((untilMs - nowMs.value) / 1_000))
  const [value, unit] =
    seconds < 100
      ? [seconds, 'second']
      : seconds < 100 * 60
        ? [Math.ceil(seconds / 60), 'minute']
        : [Math.ceil(seconds / 3_600), 'hour']
  const { language } = page.value.question
  return new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'short' }).format(value)
}

/** What is going on, and how long until it begins: a countdown where that is known. */
export function Progress({ text, wait }: { text: string; wait?: Wait | undefined }) {
  if (wait === undefined) return html`<p class="progress"><span class="spinner" aria-hidden="true"></span>${text}</p>`
  const time = duration(wait.untilMs)
  const isOver = wait.untilMs <= nowMs.value
  const line = wait.kind === 'refused' ? t.value.againIn : t.value.startsIn
  const before = wait.position ? `, ${fill(t.value.before, { n: wait.position })}` : ''
  return html`<p class="progress" role="timer">
    <span class="spinner" aria-hidden="true"></span>${isOver ? t.value.soon : fill(line, { time }) + before}
  </p>`
}

/** What happened in one sentence, and a way on. */
export function Problem({ failure, again }: { failure: Failure; again: () => void }) {
  const { errors, unknown } = { errors: t.value.errors, unknown: t.value.errors.unknown }
  const { code, message, retryAtMs } = failure
  const isEarly = retryAtMs !== undefined && retryAtMs > nowMs.value
  return html`<div class="problem" role="alert">
    <p>${errors[code] ?? unknown} ${
      (errors[code] === undefined || code === 'unexplained') &&
      message !== '' &&
      html`<bdi lang="en" class="small">${message}</bdi>`
    }</p>
    ${isEarly && html`<p class="small">${fill(t.value.retryIn, { time: duration(retryAtMs) })}</p>`}
    <button type="button" onClick=${again}>${t.value.again}</button>
  </div>`
}

export function OriginLine({ origin }: { origin: Origin }) {
  const quality =
    origin.quality === null
      ? undefined
      : fill(t.value.quality, {
          n: new Intl.NumberFormat(page.value.question.language, { style: 'percent' }).format(origin.quality),
        })
  const from = origin.stale ? t.value.stale : origin.cached ? t.value.cached : undefined
  return html`<p class=${origin.stale ? 'origin stale' : 'origin'}>
    ${[from, quality].filter((text) => text !== undefined).map((text) => html`<span>${text}</span>`)}
    ${origin.model && html`<bdi lang="en">${origin.model}</bdi>`}
  </p>`
}
