import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { emulatorForTest, freePort } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import type { Gemini, GeminiError } from '../src/index.ts'
import { clientFor, failureOf, MODELS, question, rawServer } from './build.ts'

/** The same promise holds for the SDK's path and for our own. */
const CALLS: [string, (gemini: Gemini, signal: AbortSignal) => Promise<unknown>][] = [
  ['text', (gemini, signal) => gemini.generateJson(question({ signal }))],
  ['picture', (gemini, signal) => gemini.generatePicture({ model: MODELS.image, prompt: 'A cat', signal })],
]

/** A port that accepts connections and never says a word. */
async function silentPort(t: Test): Promise<number> {
  const server = createServer((socket) => {
    t.teardown(() => socket.destroy())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

for (const [name, call] of CALLS) {
  const fails = (t: Test, baseUrl: string, signal = new AbortController().signal): Promise<GeminiError> =>
    failureOf(call(clientFor(t, baseUrl), signal))

  t.test(`${name}: what never left is told from what may have arrived`, async (t) => {
    const notReached = { kind: 'unavailable', reachedGemini: false, retryable: false }
    t.match(await fails(t, `http://127.0.0.1:${await freePort()}`), { ...notReached, message: /ECONNREFUSED/ })
    t.match(await fails(t, 'http://no-such-host.invalid'), { ...notReached, message: /ENOTFOUND|EAI_AGAIN/ })
    const { baseUrl, faults } = await emulatorForTest(t)
    t.match(await fails(t, baseUrl.replace('http:', 'https:')), notReached, 'TLS failed')
    const broken = { kind: 'unavailable', reachedGemini: true, retryable: true, message: /ECONNRESET|UND_ERR_SOCKET/ }
    faults.add({ kind: 'reset', times: 1 })
    t.match(await fails(t, baseUrl), broken, 'before the answer')
    faults.add({ kind: 'reset_mid_body', times: 1 })
    t.match(await fails(t, baseUrl), broken, 'in the middle of the answer')
  })

  t.test(`${name}: a deadline is told from a cancel, and from a call that was never sent`, async (t) => {
    const { baseUrl, faults, counters } = await emulatorForTest(t)
    faults.add({ kind: 'hang' })
    t.match(await fails(t, baseUrl, AbortSignal.timeout(100)), {
      kind: 'timeout',
      reachedGemini: true,
      retryable: false,
    })

    while (counters().inFlight > 0) await turn()
    const leaving = new AbortController()
    const cancelled = fails(t, baseUrl, leaving.signal)
    while (counters().inFlight === 0) await turn()
    leaving.abort()
    t.match(await cancelled, { kind: 'cancelled', reachedGemini: true, retryable: false })
    while (counters().inFlight > 0) await turn()
    t.equal(counters().cancelled, 2, 'Google sees both clients go')

    const anyOf = AbortSignal.any([new AbortController().signal, AbortSignal.timeout(50)])
    t.match(await fails(t, baseUrl, anyOf), { kind: 'timeout' }, 'also through AbortSignal.any')

    const connecting = `https://127.0.0.1:${await silentPort(t)}`
    const startedMs = performance.now()
    t.match(await fails(t, connecting, AbortSignal.timeout(100)), { kind: 'timeout', reachedGemini: false })
    t.ok(performance.now() - startedMs < 2_500, 'at the deadline, not when connecting is given up')
  })

  t.test(`${name}: an already aborted signal sends nothing`, async (t) => {
    const { baseUrl, calls } = await emulatorForTest(t)
    const past = AbortSignal.abort(new DOMException('too late', 'TimeoutError'))
    t.match(await fails(t, baseUrl, AbortSignal.abort()), { kind: 'cancelled', reachedGemini: false })
    t.match(await fails(t, baseUrl, past), { kind: 'timeout', reachedGemini: false })
    t.same(calls(), [])
  })

  t.test(`${name}: a deadline in the middle of the body is a timeout`, async (t) => {
    const { baseUrl } = await rawServer(t, (response) => {
      response.writeHead(200, { 'content-length': '100' })
      response.write('{"candidates":')
    })
    t.match(await fails(t, baseUrl, AbortSignal.timeout(100)), { kind: 'timeout', reachedGemini: true })
  })
}
