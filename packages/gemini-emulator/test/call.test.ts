import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { buildEmulator, type EmulatorOptions } from '../src/index.ts'
import { contents, TEXT_MODEL } from './build.ts'

async function listen(t: Test, options: EmulatorOptions = {}) {
  const app = buildEmulator(options)
  t.teardown(() => app.close())
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const ask = (signal?: AbortSignal) =>
    fetch(`${url}/v1beta/models/${TEXT_MODEL}:generateContent`, {
      method: 'POST',
      headers: { 'x-goog-api-key': 'k', 'content-type': 'application/json' },
      body: JSON.stringify(contents('Topic: Rome')),
      ...(signal && { signal }),
    })
  return { app, emulator: app.emulator, ask }
}

/** Waits for what happens on the other end of a socket. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

t.test('reset cuts the connection before any answer, reset_mid_body in the middle of one', async (t) => {
  const { emulator, ask } = await listen(t)
  emulator.faults.add({ kind: 'reset', times: 1 })
  emulator.faults.add({ kind: 'reset_mid_body', times: 1 })
  await t.rejects(ask(), { cause: { code: 'ECONNRESET' } })
  const response = await ask()
  t.equal(response.status, 200)
  await t.rejects(response.text())
  t.match(emulator.counters(), { admitted: 2, cancelled: 0, inFlight: 0, faults: { reset: 1, reset_mid_body: 1 } })
})

t.test('hang answers never; a client that leaves is counted as cancelled', async (t) => {
  const { emulator, ask } = await listen(t)
  emulator.faults.add({ kind: 'hang' })
  const leaving = new AbortController()
  const answer = ask(leaving.signal)
  await Promise.race([answer, until(() => emulator.counters().inFlight === 1)])
  leaving.abort()
  await t.rejects(answer, { name: 'AbortError' })
  await until(() => emulator.counters().inFlight === 0)
  t.equal(emulator.counters().cancelled, 1)
  t.notOk(emulator.calls()[0]?.status)
})

t.test('a client that leaves during a delay is cancelled, and takes no quota', async (t) => {
  const { emulator, ask } = await listen(t)
  emulator.faults.add({ kind: 'delay', delayMs: 3_600_000 })
  const leaving = new AbortController()
  const answer = ask(leaving.signal)
  await Promise.race([answer, until(() => emulator.counters().inFlight === 1)])
  leaving.abort()
  await t.rejects(answer)
  await until(() => emulator.counters().inFlight === 0)
  t.match(emulator.counters(), { cancelled: 1, admitted: 0, maxInFlight: 1 })
})

t.test('closing lets go of calls that hang', async (t) => {
  const { app, emulator, ask } = await listen(t)
  emulator.faults.add({ kind: 'hang' })
  const answer = ask()
  await Promise.race([answer, until(() => emulator.counters().inFlight === 1)])
  await Promise.all([t.rejects(answer), app.close()])
  t.equal(emulator.counters().inFlight, 0)
})

t.test('closing finishes the calls in flight', async (t) => {
  const { app, emulator, ask } = await listen(t, { latencyMs: 200 })
  const answer = ask()
  await Promise.race([answer, until(() => emulator.counters().inFlight === 1)])
  const [response] = await Promise.all([answer, app.close()])
  t.equal(response.status, 200)
  t.match(await response.json(), { candidates: [{ finishReason: 'STOP' }] })
})

t.test('latencyMs and delays are really waited for', async (t) => {
  const { emulator, ask } = await listen(t, { latencyMs: 60 })
  emulator.faults.add({ kind: 'delay', delayMs: 70 })
  const startedMs = performance.now()
  t.equal((await ask()).status, 200)
  t.ok(performance.now() - startedMs >= 128, 'both, one after the other')
})

t.test('counts how many calls were in flight at once', async (t) => {
  const { emulator, ask } = await listen(t, { latencyMs: 50 })
  await Promise.all([ask(), ask(), ask()])
  t.match(emulator.counters(), { inFlight: 0, maxInFlight: 3, admitted: 3 })
  t.ok(emulator.counters().tokens.total > 0)
})
