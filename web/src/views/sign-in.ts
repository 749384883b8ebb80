import { signal } from '@preact/signals'
import { html } from '../html.ts'
import { logIn } from '../requests.ts'
import type { Failure } from '../state.ts'
import { t } from '../texts.ts'

const failure = signal<Failure | undefined>(undefined)

export function SignIn() {
  const onSubmit = async (event: Event) => {
    event.preventDefault()
    const form = new FormData(event.target as HTMLFormElement)
    failure.value = await logIn(String(form.get('key')).trim())
  }
  return html`<form class="sign-in" onSubmit=${onSubmit}>
    <h1 tabindex="-1">${t.value.signIn}</h1>
    <p id="why">${t.value.signInWhy}</p>
    <label>
      <span>${t.value.key}</span>
      <input
        name="key"
        type="password"
        dir="ltr"
        required
        autocomplete="current-password"
        aria-describedby="why"
        aria-invalid=${failure.value ? 'true' : undefined}
      />
    </label>
    ${failure.value && html`<p class="problem" role="alert">${t.value.errors[failure.value.code] ?? failure.value.message}</p>`}
    <button type="submit" class="main">${t.value.signInDo}</button>
  </form>`
}
