import { html } from '../html.ts'
import { markdownOf } from '../markdown.ts'
import { cancel, explain } from '../requests.ts'
import { go, page } from '../state.ts'
import { fill, t } from '../texts.ts'
import { CopyButton } from './copy-button.ts'
import { Explanation } from './explanation.ts'

/** The explanations, in the order of the subtopics, each as soon as it is finished. */
export function Lesson() {
  const { question, chosen, items } = page.value
  const statusOf = (name: string) => items[name]?.status ?? 'stopped'
  const done = chosen.filter((name) => statusOf(name) === 'done').length
  const isRunning = chosen.some((name) => ['queued', 'working'].includes(statusOf(name)))
  const stopped = chosen.filter((name) => statusOf(name) === 'stopped')
  const progress = fill(t.value.progress, { done, all: chosen.length })
  return html`
    <article class="lesson">
      <header>
        <button type="button" class="quiet" onClick=${() => history.back()}>${t.value.otherSubtopics}</button>
        <h1 tabindex="-1" dir="auto">${question.topic}</h1>
        <div class="state">
          <p role="status">${progress}</p>
          <progress aria-label=${progress} max=${chosen.length} value=${done}></progress>
          ${isRunning && html`<button type="button" onClick=${cancel}>${t.value.cancel}</button>`}
          ${
            !isRunning &&
            stopped.length > 0 &&
            html`<button type="button" class="main" onClick=${() => explain(stopped)}>${t.value.goOn}</button>`
          }
        </div>
      </header>
      <nav aria-label=${t.value.contents}>
        <ol>
          ${chosen.map(
            (name, index) => html`<li class=${statusOf(name)}>
              <a href=${`#s${index}`} onClick=${(event: Event) => scrollToSection(event, index)} dir="auto">${name}</a>
            </li>`,
          )}
        </ol>
      </nav>
      <div class="sections">
        ${chosen.map((name, index) => html`<${Explanation} key=${name} name=${name} id=${`s${index}`} />`)}
        ${
          done > 0 &&
          html`<footer>
            <${CopyButton} />
            <button type="button" onClick=${download}>${t.value.download}</button>
            <button type="button" onClick=${() => print()}>${t.value.print}</button>
            <button type="button" onClick=${() => go('ask', { question: { ...question, topic: '' } })}>
              ${t.value.newTopic}
            </button>
          </footer>`
        }
      </div>
    </article>
  `
}

/** Without a new history entry: back leads to the subtopics. */
function scrollToSection(event: Event, index: number): void {
  event.preventDefault()
  const section = document.getElementById(`s${index}`)
  section?.scrollIntoView()
  section?.querySelector<HTMLElement>('h2')?.focus({ preventScroll: true })
}

function download(): void {
  const url = URL.createObjectURL(new Blob([markdownOf(page.value)], { type: 'text/markdown' }))
  const link = Object.assign(document.createElement('a'), { href: url, download: `${page.value.question.topic}.md` })
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
