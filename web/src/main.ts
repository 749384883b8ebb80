import { effect } from '@preact/signals'
import { render } from 'preact'
import { html } from './html.ts'
import { cancel } from './requests.ts'
import { followHistory, page, signIn, update } from './state.ts'
import { preferredLanguage, speak } from './texts.ts'
import { Ask } from './views/ask.ts'
import { Lesson } from './views/lesson.ts'
import { SignIn } from './views/sign-in.ts'
import { Subtopics } from './views/subtopics.ts'

const views = { ask: Ask, subtopics: Subtopics, lesson: Lesson }

function App() {
  const { view, question } = page.value
  const title = view === 'ask' ? 'KnowAllEdge' : `${question.topic} – KnowAllEdge`
  if (document.title !== title) document.title = title
  return html`
    <header class="top">
      <img src="assets/app/icon.svg" alt="" width="28" height="28" />
      <span>KnowAllEdge</span>
    </header>
    <main>${signIn.value ? html`<${SignIn} />` : html`<${views[view]} key=${view} />`}</main>
  `
}

followHistory(cancel)
if (page.value.question.language === '') {
  update({ question: { ...page.value.question, language: preferredLanguage() } })
}
await speak(page.value.question.language)

const root = document.getElementById('app') as HTMLElement
root.replaceChildren()
render(html`<${App} />`, root)

// A new view is announced by its heading; the first one is not, as the page is.
let shown = ''
effect(() => {
  const now = signIn.value ? 'sign-in' : page.value.view
  if (shown !== '' && now !== shown) setTimeout(() => document.querySelector<HTMLElement>('h1')?.focus())
  shown = now
})
let spoken = page.value.question.language
effect(() => {
  const { language } = page.value.question
  if (language !== spoken) void speak(language)
  spoken = language
})
