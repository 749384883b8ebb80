import { html } from '../html.ts'
import { cancel, findSubtopics, readPhoto } from '../requests.ts'
import { page, photoUrl, type Question, task, update } from '../state.ts'
import { details, languages, levels, t } from '../texts.ts'
import { Problem, Progress } from './parts.ts'

const change = (part: Partial<Question>) => update({ question: { ...page.value.question, ...part } })

/** The question: a topic, typed or from a photo, and how it is to be explained. */
export function Ask() {
  const { topic } = page.value.question
  const find = (event?: Event) => {
    event?.preventDefault()
    if (page.value.question.topic.trim() !== '') void findSubtopics()
  }
  const onDrop = (event: DragEvent) => {
    event.preventDefault()
    const file = event.dataTransfer?.files[0]
    if (file) void readPhoto(file)
  }
  return html`
    <form class="ask" onSubmit=${find} onDragOver=${(event: Event) => event.preventDefault()} onDrop=${onDrop}>
      <h1 tabindex="-1"><label for="topic">${t.value.ask}</label></h1>
      <div class="topic">
        <input
          id="topic"
          type="text"
          dir="auto"
          required
          maxlength="500"
          autocomplete="off"
          enterkeyhint="go"
          placeholder=${t.value.topicHint}
          value=${topic}
          onInput=${(event: Event) => change({ topic: (event.target as HTMLInputElement).value })}
        />
        <${PhotoButton} />
      </div>
      <${Photo} />
      <div class="choices">
        <${Choice} name="language" label=${t.value.language} options=${languages} />
        <${Choice} name="level" label=${t.value.level} options=${labels(Object.keys(levels), t.value.levels)} />
        <${Choice} name="detail" label=${t.value.detail} options=${labels(details, t.value.details)} />
      </div>
      ${
        task.value?.kind === 'subtopics' && !task.value.failure
          ? html`<div class="busy" role="status">
              <${Progress} text=${t.value.finding} wait=${task.value.wait} />
              <button type="button" onClick=${cancel}>${t.value.cancel}</button>
            </div>`
          : html`<button type="submit" class="main">${t.value.find}</button>`
      }
      ${task.value?.kind === 'subtopics' && task.value.failure && html`<${Problem} failure=${task.value.failure} again=${find} />`}
      <p class="examples">
        <span>${t.value.examples}</span>
        ${t.value.exampleTopics.map(
          (example) =>
            html`<button
              type="button"
              onClick=${() => {
                change({ topic: example })
                find()
              }}
            >
              ${example}
            </button>`,
        )}
      </p>
    </form>
  `
}

const labels = (keys: string[], texts: Record<string, string>) =>
  Object.fromEntries(keys.map((key) => [key, texts[key]]))

interface ChoiceProps {
  name: 'language' | 'level' | 'detail'
  label: string
  options: Record<string, string>
}

function Choice({ name, label, options }: ChoiceProps) {
  const onChange = (event: Event) => change({ [name]: (event.target as HTMLSelectElement).value })
  return html`<label>
    <span>${label}</span>
    <select name=${name} value=${page.value.question[name]} onChange=${onChange}>
      ${Object.entries(options).map(
        ([value, text]) =>
          html`<option value=${value} selected=${value === page.value.question[name]}>${text}</option>`,
      )}
    </select>
  </label>`
}

/** Phones offer their camera here. */
function PhotoButton() {
  const onChange = (event: Event) => {
    const input = event.target as HTMLInputElement
    const file = input.files?.[0]
    input.value = '' // the same photo can be chosen again
    if (file) void readPhoto(file)
  }
  return html`<label class="photo-button">
    <svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true">
      <path d="M4 8h3l2-3h6l2 3h3v11H4z" />
      <circle cx="12" cy="13" r="3.500" />
    </svg>
    <span class="visually-hidden">${t.value.photo}</span>
    <input type="file" accept="image/*" class="visually-hidden" onChange=${onChange} />
  </label>`
}

function Photo() {
  if (photoUrl.value === null) return null
  const remove = () => {
    if (task.value?.kind === 'photo') cancel()
    URL.revokeObjectURL(photoUrl.value as string)
    photoUrl.value = null
  }
  const isPhoto = task.value?.kind === 'photo'
  return html`<div class="photo" role="status">
    <img src=${photoUrl.value} alt=${t.value.photoAlt} />
    <div>
      ${isPhoto && !task.value?.failure && html`<${Progress} text=${t.value.photoReading} wait=${task.value?.wait} />`}
      ${
        isPhoto &&
        task.value?.failure &&
        html`<p class="problem">${t.value.errors[task.value.failure.code] ?? t.value.errors.unknown}</p>`
      }
      <button type="button" onClick=${remove}>${isPhoto && !task.value?.failure ? t.value.cancel : t.value.photoRemove}</button>
    </div>
  </div>`
}
