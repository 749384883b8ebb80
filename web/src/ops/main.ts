import { render } from 'preact'
import { html } from '../html.ts'
import { Chart, type Line } from './chart.ts'
import { Clients } from './clients.ts'
import { Faults } from './faults.ts'
import { short } from './format.ts'
import { connection, follow, state } from './live.ts'
import { Pools } from './pools.ts'
import { Cache, Gemini, Instances, Waiting } from './tables.ts'

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

function App() {
  return html`
    <header class="top">
      <img src="assets/app/icon.svg" alt="" width="28" height="28" />
      <h1>Operations</h1>
      <${Summary} />
      <a href=".">Learning app</a>
    </header>
    <main class=${connection.value}>
      <${Pools} />
      <section class="card charts" aria-label="The last minutes">
        <${Chart} title="Quota: requests in the last minute" lines=${quotaLines} atLeast=${5} />
        <${Chart} title="Gemini calls in the last minute" lines=${callLines} atLeast=${5} />
        <${Chart} title="Cache hits in the last minute" lines=${cacheLines} atLeast=${100} />
      </section>
      <${Gemini} />
      <${Cache} />
      <${Instances} />
      <${Waiting} />
      <${Clients} />
      <${Faults} />
    </main>
  `
}

const connectionTexts = { connecting: 'Connecting …', lost: 'No connection to the gateway. Trying again …' }

/** The state of everything in one sentence. */
function Summary() {
  const now = connection.value
  if (now !== 'live') return html`<p role="status" class=${`summary ${now}`}>${connectionTexts[now]}</p>`
  const { instances = [], pools = [] } = state.value ?? {}
  const down = instances.filter(({ isUp }) => !isUp)
  const stopped = pools.filter(({ hold, pause, degraded }) => hold || pause || degraded)
  const troubles = [
    ...down.map(({ service }) => `${service} does not answer`),
    ...stopped.map(({ name }) => `pool ${name} grants nothing`),
  ]
  const text = troubles.length > 0 ? troubles.join(', ') : `All ${instances.length} instances answer`
  return html`<p role="status" class=${`summary ${troubles.length > 0 ? 'trouble' : 'live'}`}>${text}</p>`
}

const root = document.getElementById('app') as HTMLElement
root.replaceChildren()
render(html`<${App} />`, root)
await follow()
