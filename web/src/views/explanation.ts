import { html } from '../html.ts'
import { videoUrl } from '../markdown.ts'
import { drawImage, explain } from '../requests.ts'
import { type Explained, type Item, page, updateItem } from '../state.ts'
import { fill, t } from '../texts.ts'
import { OriginLine, Problem, Progress } from './parts.ts'

/** One subtopic in whatever state it is. */
export function Explanation({ name, id }: { name: string; id: string }) {
  const item = page.value.items[name] ?? { status: 'stopped' }
  return html`<section id=${id} class=${item.status} aria-labelledby=${`${id}-title`}>
    <h2 id=${`${id}-title`} tabindex="-1" dir="auto">${name}</h2>
    <${Body} name=${name} item=${item} />
  </section>`
}

function Body({ name, item }: { name: string; item: Item }) {
  if (item.explained) return html`<${Text} name=${name} item=${item} explained=${item.explained} />`
  if (item.status === 'failed' && item.failure)
    return html`<${Problem} failure=${item.failure} again=${() => explain([name])} />`
  if (item.status === 'working')
    return html`<${Progress} text=${t.value.working} wait=${item.wait} />
      ${item.wait === undefined && html`<div class="lines" aria-hidden="true"><i></i><i></i><i></i></div>`}`
  return html`<p class="progress">${item.status === 'queued' ? t.value.queued : t.value.stopped}</p>`
}

function Text({ name, item, explained }: { name: string; item: Item; explained: Explained }) {
  const { text, application, videoQuery, origin } = explained
  const paragraphs = text.split(/\n+/).filter((paragraph) => paragraph.trim() !== '')
  return html`
    <${OriginLine} origin=${origin} />
    ${paragraphs.map((paragraph) => html`<p dir="auto">${paragraph}</p>`)}
    <aside>
      <h3>${t.value.application}</h3>
      <p dir="auto">${application}</p>
    </aside>
    <${Image} name=${name} image=${item.image} />
    <div class="more">
      <a href=${videoUrl(videoQuery)} target="_blank" rel="noopener noreferrer">
        ${t.value.video}<span class="visually-hidden"> ${t.value.newTab}</span>
      </a>
      ${
        (item.image === undefined || (item.image.status === 'failed' && !item.image.failure)) &&
        html`<button type="button" onClick=${() => drawImage(name)}>${t.value.draw}</button>`
      }
    </div>
  `
}

function Image({ name, image }: { name: string; image: Item['image'] }) {
  if (image === undefined) return null
  if (image.status === 'working')
    return html`<div class="image" role="status"><${Progress} text=${t.value.drawing} wait=${image.wait} /></div>`
  if (image.failure) return html`<${Problem} failure=${image.failure} again=${() => drawImage(name)} />`
  if (image.url === undefined) return null
  const onError = () => updateItem(name, { image: { status: 'failed' } })
  return html`<img class="image" src=${image.url} alt=${fill(t.value.imageAlt, { name })} onError=${onError} />`
}
