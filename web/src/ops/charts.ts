import { signal } from '@preact/signals'
import { html } from '../html.ts'
import type { Chart, Line } from './chart.ts'
import { short } from './format.ts'

const quotaLines: Line[] = [
  { label: 'used', of: ({ used }) => used, colour: 'used', text: short },
  { label: 'limit', of: ({ limit }) => limit, colour: 'soft', dashed: true, text: short },
  { label: 'in line', of: ({ waiting }) => waiting, colour: 'warn', text: short },
]
const callLines: Line[] = [
  { label: 'calls', of: ({ calls }) => calls, colour: 'used', text: short },
  { label: 'failed', of: ({ failed }) => failed, colour: 'warn', text: short },
]
const cacheLines: Line[] = [
  { label: 'hits', of: ({ hitRate }) => hitRate, colour: 'used', text: (value) => `${Math.round(value)} %` },
]

/** The library is large, and the figures need not wait for it. */
const loaded = signal<typeof Chart | null>(null)

export function Charts() {
  const { value: Loaded } = loaded
  if (Loaded === null) void import('./chart.ts').then(({ Chart }) => (loaded.value = Chart))
  return html`<section class="card charts" aria-label="The last minutes">
    ${
      Loaded &&
      html`<${Loaded} title="Quota: requests in the last minute" lines=${quotaLines} atLeast=${5} />
        <${Loaded} title="Gemini calls in the last minute" lines=${callLines} atLeast=${5} />
        <${Loaded} title="Cache hits in the last minute" lines=${cacheLines} atLeast=${100} />`
    }
  </section>`
}
