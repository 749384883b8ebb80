import { html } from '../html.ts'
import { duration } from './format.ts'
import { state } from './live.ts'

/** Warnings and errors of all processes, alike ones together, newest first. */
export function Faults() {
  const { faults = [], atMs = 0 } = state.value ?? {}
  return html`<section class="card faults" aria-labelledby="faults">
    <h2 id="faults">Recent faults</h2>
    ${
      faults.length === 0
        ? html`<p class="soft">None since the processes started.</p>`
        : html`<ul class="scroll" tabindex="0" aria-labelledby="faults">
            ${faults.map(
              ({ message, kind, remedy, count, atMs: lastAtMs, services, runbook }) => html`<li key=${message + kind}>
                <p>
                  <b>${message}</b>${kind && `: ${kind}`}
                  ${runbook && html` <a href=${`ops/runbook#${runbook}`}>What to do</a>`}
                </p>
                ${remedy && html`<p>${remedy}</p>`}
                <p class="soft">
                  ${duration(atMs - lastAtMs)} ago, ${count === 1 ? 'once' : `${count} times`}, ${services.join(', ')}
                </p>
              </li>`,
            )}
          </ul>`
    }
  </section>`
}
