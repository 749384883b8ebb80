import { signal } from '@preact/signals'
import { render } from 'preact'
import { useEffect } from 'preact/hooks'
import { html } from '../html.ts'
import { Charts } from './charts.ts'
import { Clients } from './clients.ts'
import { Faults } from './faults.ts'
import { connection, follow, state } from './live.ts'
import { Pools } from './pools.ts'
import { Cache, Gemini, Instances, Waiting } from './tables.ts'

function App() {
  return html`
    <header class="top">
      <img src="assets/app/icon.svg" alt="" width="28" height="28" />
      <h1>Operations</h1>
      <${Summary} />
      <a href=".">Learning app</a>
    </header>
    ${state.value === null ? html`<main></main>` : html`<${Main} />`}
  `
}

const cards = [Pools, Charts, Gemini, Cache, Instances, Waiting, Clients, Faults]
/** How many cards are shown: one more at a time, so that a slow phone answers in between, and below the others, so that nothing moves. */
const shownCards = signal(1)

function Main() {
  const count = shownCards.value
  useEffect(() => {
    if (count < cards.length) setTimeout(() => (shownCards.value = count + 1))
  }, [count])
  return html`<main class=${connection.value}>${cards.slice(0, count).map((Card) => html`<${Card} />`)}</main>`
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
