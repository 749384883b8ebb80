import { html } from '../html.ts'
import { explainChosen } from '../requests.ts'
import { page, update } from '../state.ts'
import { fill, t } from '../texts.ts'
import { OriginLine } from './parts.ts'

/** Fifteen subtopics to choose from. */
export function Subtopics() {
  const { subtopics, chosen, question } = page.value
  if (subtopics === null) return null
  const { names, origin } = subtopics
  const isAll = chosen.length === names.length
  const toggle = (name: string) =>
    update({
      chosen: chosen.includes(name)
        ? chosen.filter((other) => other !== name)
        : names.filter((other) => other === name || chosen.includes(other)),
    })
  const onSubmit = (event: Event) => {
    event.preventDefault()
    if (page.value.chosen.length > 0) void explainChosen()
  }
  return html`
    <form class="subtopics" onSubmit=${onSubmit}>
      <button type="button" class="quiet" onClick=${() => history.back()}>${t.value.back}</button>
      <h1 tabindex="-1" dir="auto">${question.topic}</h1>
      <${OriginLine} origin=${origin} />
      <fieldset>
        <legend>
          ${t.value.choose}
        </legend>
        <ul>
          ${names.map(
            (name) => html`<li>
              <label>
                <input type="checkbox" checked=${chosen.includes(name)} onChange=${() => toggle(name)} />
                <span dir="auto">${name}</span>
              </label>
            </li>`,
          )}
        </ul>
      </fieldset>
      <div class="bar">
        <button type="button" class="quiet" onClick=${() => update({ chosen: isAll ? [] : names })}>
          ${isAll ? t.value.chooseNone : t.value.chooseAll}
        </button>
        <span role="status">${fill(t.value.chosen, { n: chosen.length })}</span>
        <button type="submit" class="main" disabled=${chosen.length === 0}>${t.value.explain}</button>
      </div>
    </form>
  `
}
