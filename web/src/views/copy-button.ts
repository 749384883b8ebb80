import { signal } from '@preact/signals'
import { html } from '../html.ts'
import { markdownOf } from '../markdown.ts'
import { page } from '../state.ts'
import { t } from '../texts.ts'

const isCopied = signal(false)

export function CopyButton() {
  const copy = async () => {
    await writeText(markdownOf(page.value))
    isCopied.value = true
    setTimeout(() => {
      isCopied.value = false
    }, 3_000)
  }
  return html`<button type="button" aria-live="polite" onClick=${copy}>
    ${isCopied.value ? t.value.copied : t.value.copy}
  </button>`
}

/** The clipboard exists only on HTTPS and localhost. */
async function writeText(text: string): Promise<void> {
  if (navigator.clipboard) return await navigator.clipboard.writeText(text)
  const area = Object.assign(document.createElement('textarea'), { value: text, className: 'visually-hidden' })
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}
