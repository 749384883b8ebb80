import { html } from '../html.ts'
import { duration, megabytes, seconds, short } from './format.ts'
import { samples, state } from './live.ts'
import { hitRateOf, minuteBefore, useOf } from './rates.ts'
import type { Counts, Instance } from './state.ts'

interface TableProps {
  id: string
  title: string
  /** The first column names the row; the others are figures unless they end in a space. */
  columns: string[]
  rows: { key: string; cells: unknown[]; isBad?: boolean }[]
  /** Shown instead of no rows. */
  empty: string
}

export function Table({ id, title, columns, rows, empty }: TableProps) {
  return html`<section class=${`card ${id}`} aria-labelledby=${id}>
    <h2 id=${id}>${title}</h2>
    ${
      rows.length === 0
        ? html`<p class="soft">${empty}</p>`
        : html`<div class="scroll" tabindex="0" role="group" aria-labelledby=${id}>
            <table>
              <thead>
                <tr>
                  ${columns.map((column) => html`<th scope="col">${column}</th>`)}
                </tr>
              </thead>
              <tbody>
                ${rows.map(
                  ({ key, cells: [first, ...others], isBad }) => html`<tr key=${key} class=${isBad ? 'bad' : ''}>
                    <th scope="row">${first}</th>
                    ${others.map((cell) => html`<td>${cell}</td>`)}
                  </tr>`,
                )}
              </tbody>
            </table>
          </div>`
    }
  </section>`
}

export function Gemini() {
  const list = samples.value
  const [before, now] = [minuteBefore(list), list.at(-1)]
  const rows = (state.value?.gemini ?? []).map(({ model, calls, tokens }) => {
    const last = before && now && useOf(model, before, now)
    const failures = Object.entries(calls).filter(([status]) => status !== 'success' && status !== 'cancelled')
    const failed = failures.map(([status, count]) => `${short(count ?? 0)} ${status.replaceAll('_', ' ')}`)
    return {
      key: model,
      isBad: (last?.failed ?? 0) > 0,
      cells: [
        model,
        short(last?.calls ?? 0),
        seconds(last?.meanSeconds ?? null),
        last?.p95Seconds == null ? '–' : `≤ ${seconds(last.p95Seconds)}`,
        short(last?.tokens ?? 0),
        `${short(tokens)} tokens`,
        failed.join(', ') || 'none',
      ],
    }
  })
  const columns = ['Last minute', 'Calls', 'Mean', '95 %', 'Tokens', 'Since start', 'Errors']
  return html`<${Table} id="gemini" title="Gemini" columns=${columns} rows=${rows} empty="No model yet." />`
}

const layers: [key: string, label: string][] = [
  ['memory', 'from memory'],
  ['redis', 'from Redis'],
  ['coalesced', 'shared a call'],
  ['miss', 'needed a call'],
]

export function Cache() {
  const cache: Counts = state.value?.cache ?? {}
  const lookups = layers.reduce((total, [key]) => total + (cache[key] ?? 0), 0)
  const hitRate = hitRateOf(cache)
  const percent = (count: number) => (lookups === 0 ? '–' : `${Math.round((100 * count) / lookups)} %`)
  return html`<section class="card cache" aria-labelledby="cache">
    <h2 id="cache">Cache</h2>
    <p class="figure"><b>${hitRate === null ? '–' : `${Math.round(hitRate)} %`}</b> answered without a call</p>
    <dl>
      ${layers.map(
        ([key, label]) => html`<div>
          <dt>${label}</dt>
          <dd>${short(cache[key] ?? 0)}</dd>
          <dd class="soft">${percent(cache[key] ?? 0)}</dd>
        </div>`,
      )}
      <div>
        <dt>stale copies</dt>
        <dd>${short(cache.fallback ?? 0)}</dd>
        <dd></dd>
      </div>
    </dl>
    <p class="soft">${short(cache.coalesced ?? 0)} calls saved by coalescing.</p>
  </section>`
}

export function Instances() {
  const rows = (state.value?.instances ?? []).map((instance) => ({
    key: `${instance.service} ${instance.url}`,
    isBad: !instance.isUp,
    cells: [
      html`${instance.service} <span class="soft">${instance.url.replace(/^https?:\/\//, '')}</span>`,
      ...figures(instance),
    ],
  }))
  const columns = ['Instance', 'Version', 'Up for', 'Memory', 'Loop delay']
  return html`<${Table} id="instances" title="Instances" columns=${columns} rows=${rows} empty="None is known." />`
}

function figures({ isUp, version, uptimeSeconds = 0, memoryBytes = 0, eventLoopDelayMs = 0 }: Instance): string[] {
  if (!isUp) return ['no answer', '–', '–', '–']
  return [version ?? '–', duration(uptimeSeconds * 1_000), megabytes(memoryBytes), `${eventLoopDelayMs} ms`]
}

export function Waiting() {
  const rows = (state.value?.waiting ?? []).map(({ client, priority, waitedMs, startsInMs, position }, index) => ({
    key: String(index),
    cells: [
      client || (priority === 'batch' ? 'An explanation' : 'A question'),
      priority === 'batch' ? 'explanation' : 'interactive',
      position,
      duration(waitedMs),
      duration(startsInMs),
    ],
  }))
  const columns = ['Who waits', 'Line', 'Place', 'For', 'Starts in']
  return html`<${Table} id="waiting" title="In line" columns=${columns} rows=${rows} empty="Nobody waits." />`
}
