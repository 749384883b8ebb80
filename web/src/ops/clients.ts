import { html } from '../html.ts'
import { duration, short } from './format.ts'
import { isTokenWrong, state, useToken } from './live.ts'
import { Table } from './tables.ts'

/** Who uses the quota; with AUTH=required only for whoever has ADMIN_TOKEN. */
export function Clients() {
  const { clients = [], needsToken = false, atMs = 0 } = state.value ?? {}
  if (clients === null) return html`<${Hidden} needsToken=${needsToken} />`
  const rows = clients.map(({ client, questions, failed, geminiCalls, tokens, lastAtMs }) => ({
    key: client,
    isBad: false,
    cells: [
      client,
      short(questions),
      short(failed),
      short(geminiCalls),
      short(tokens),
      `${duration(atMs - lastAtMs)} ago`,
    ],
  }))
  const columns = ['Client', 'Questions', 'Failed', 'Calls', 'Tokens', 'Last']
  const empty = 'Nobody has asked since the services started.'
  return html`<${Table} id="clients" title="Clients by use" columns=${columns} rows=${rows} empty=${empty} />`
}

function Hidden({ needsToken }: { needsToken: boolean }) {
  const onSubmit = (event: Event) => {
    event.preventDefault()
    useToken(String(new FormData(event.target as HTMLFormElement).get('token')).trim())
  }
  return html`<section class="card clients" aria-labelledby="clients">
    <h2 id="clients">Clients by use</h2>
    ${
      needsToken
        ? html`<form onSubmit=${onSubmit}>
            <label for="token">ADMIN_TOKEN shows them</label>
            <div>
              <input id="token" name="token" type="password" required autocomplete="off" aria-describedby="token-wrong" />
              <button type="submit">Show</button>
            </div>
            <p id="token-wrong" role="alert">${isTokenWrong.value && 'This is not the token.'}</p>
          </form>`
        : html`<p class="soft">Set ADMIN_TOKEN at the gateway to see them.</p>`
    }
  </section>`
}
