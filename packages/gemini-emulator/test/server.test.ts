import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { contents, TEXT_MODEL } from './build.ts'

const SERVER = fileURLToPath(new URL('../src/server.ts', import.meta.url))

function start(t: Test, env: Record<string, string>) {
  const child = spawn(process.execPath, [SERVER], { env: { PATH: process.env.PATH, ...env }, stdio: 'pipe' })
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit')
  return { child, exited }
}

t.test('says that it is an emulator and where, and finishes requests in flight on SIGTERM', async (t) => {
  const { child, exited } = start(t, { PORT: '0', EMULATOR_LATENCY_MS: '500' })
  let log = ''
  let url: string | undefined
  for await (const chunk of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    log += chunk
    url = /EMULATOR, not Google.*GEMINI_BASE_URL=(http:[^"]+)/.exec(log)?.[1]
    if (url) break
  }
  child.stdout.resume()
  t.match(url, /^http:\/\/127\.0\.0\.1:\d+$/)
  const answer = fetch(`${url}/v1beta/models/${TEXT_MODEL}:generateContent`, {
    method: 'POST',
    headers: { 'x-goog-api-key': 'k', 'content-type': 'application/json' },
    body: JSON.stringify(contents('Topic: Rome')),
  })
  const inFlight = async () => {
    const counters = (await (await fetch(`${url}/emulator/counters`)).json()) as { inFlight: number }
    return counters.inFlight === 1
  }
  while (!(await inFlight())) t.comment('the request is still on its way')
  const stoppedMs = performance.now()
  child.kill('SIGTERM')
  t.equal((await answer).status, 200)
  t.same(await exited, [0, null])
  t.ok(performance.now() - stoppedMs < 10_000, 'within 10 s')
})

t.test('stops with exit code 1 and all faults when the environment is wrong', async (t) => {
  const { child, exited } = start(t, { PORT: 'here', EMULATOR_RPM: '-3' })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    complaint += chunk
  })
  t.same(await exited, [1, null])
  t.match(complaint, /- PORT must be[\s\S]*- EMULATOR_RPM must be/)
})
