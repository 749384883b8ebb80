import { html } from '../html.ts'
import { duration, short } from './format.ts'
import { state } from './live.ts'
import type { Limit, Pool } from './state.ts'

const names: Record<Limit['name'], string> = {
  rpm: 'Requests a minute',
  tpm: 'Tokens a minute',
  rpd: 'Requests today',
  tpd: 'Tokens today',
}

/** What is used, held and free of each limit of each pool, and its line. */
export function Pools() {
  const { pools = [], atMs = 0 } = state.value ?? {}
  return html`<section class="card pools" aria-labelledby="pools">
    <h2 id="pools">Quota</h2>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="pools">
      ${pools.map(
        (pool) => html`<div key=${pool.name} class="pool">
          <h3>Pool <code>${pool.name}</code></h3>
          <${Stop} pool=${pool} atMs=${atMs} />
          ${pool.limits.map((limit) => html`<${Meter} key=${limit.name} pool=${pool.name} limit=${limit} />`)}
          <${Queue} queue=${pool.queue} />
        </div>`,
      )}
    </div>
    <p class="keys">
      <span class="key used">used</span><span class="key held">held back</span><span class="key free">free</span>
    </p>
  </section>`
}

/** Why nothing is granted now, if so. */
function Stop({ pool: { hold, pause, degraded, unavailable }, atMs }: { pool: Pool; atMs: number }) {
  if (degraded)
    return html`<p class="stop">Redis cannot be used (${unavailable ?? 'unknown cause'}): nothing new is granted.</p>`
  if (hold)
    return html`<p class="stop">On hold after ${hold.cause}: nothing is granted for ${duration(hold.endsInMs)}.</p>`
  if (pause)
    return html`<p class="stop">
      Gemini said 429 (${pause.limitType}): paused for ${duration(pause.untilMs - atMs)}.
    </p>`
  return null
}

function Meter({ pool, limit: { name, limit, used, held, free, resetsInMs } }: { pool: string; limit: Limit }) {
  const percent = (amount: number) => `${(100 * amount) / Math.max(limit, 1)}%`
  return html`<div class="meter">
    <p>
      <span id=${`${pool}-${name}`}>${names[name]}</span>
      <b>${short(used)}</b> of ${short(limit)}
      <span class="soft">
        ${held > 0 && `${short(held)} held back, `}${short(free)} free${used > 0 && `, more in ${duration(resetsInMs)}`}
      </span>
    </p>
    <svg
      role="meter"
      aria-labelledby=${`${pool}-${name}`}
      aria-valuemin="0"
      aria-valuemax=${limit}
      aria-valuenow=${used}
      width="100%"
      height="10"
    >
      <rect class="free" width="100%" height="10" />
      <rect class="held" width=${percent(used + held)} height="10" />
      <rect class="used" width=${percent(used)} height="10" />
    </svg>
  </div>`
}

function Queue({ queue }: { queue: Pool['queue'] }) {
  const line = (label: string, { length, startsInMs }: Pool['queue']['batch']) => html`<li>
    ${label}: <b>${length}</b> in line<span class="soft">, a new one starts ${startOf(startsInMs)}</span>
  </li>`
  return html`<ul class="queue">
    ${line('Interactive', queue.interactive)}${line('Explanations', queue.batch)}
  </ul>`
}

function startOf(startsInMs: number | null): string {
  if (startsInMs === null) return 'never: the limit is too small'
  return startsInMs <= 0 ? 'at once' : `in ${duration(startsInMs)}`
}
