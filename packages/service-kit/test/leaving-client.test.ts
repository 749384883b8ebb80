import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { createMetrics } from '@knowalledge/metrics'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { clientSignal, createServiceApp, HttpError } from '../src/index.ts'

interface LogLine {
  level: number
  msg: string
  [field: string]: unknown
}

/** A service that answers when the test lets it, or when its client has left. */
async function build(t: Test) {
  const logged: LogLine[] = []
  const started = Promise.withResolvers<void>()
  const mayAnswer = Promise.withResolvers<void>()
  const metrics = createMetrics()
  const app = await createServiceApp({
    service: 'test',
    description: 'A test.',
    logger: pino({ level: 'info' }, { write: (line: string) => void logged.push(JSON.parse(line)) }),
    metrics,
    checks: {},
    answersEarly: true, // as the gateway does
  })
  app.post('/ask', async (asked, reply) => {
    asked.outcome.tenant = asked.headers['x-tenant']
    const signal = clientSignal(reply)
    started.resolve()
    await Promise.race([mayAnswer.promise, once(signal, 'abort')])
    // As generation says it when the caller's own signal ends its wait.
    if (signal.aborted) throw new HttpError('timeout', 'It took too long to get an answer.', { cause: signal.reason })
    return {}
  })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  return { app, url, logged, metrics, started: started.promise, answer: mayAnswer.resolve }
}

const post = (url: string, headers: Record<string, string> = {}) =>
  request(`${url}/ask`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers } })
    .on('error', () => {})
    .end('{}')

async function until(isSo: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!isSo()) {
    if (Date.now() > deadline) throw new Error('in vain')
    await sleep(5)
  }
}

t.test('a client that leaves after its body was read is one line of the log, and no error', async (t) => {
  const { app, url, logged, metrics, started } = await build(t)
  const leaving = post(url, { 'x-tenant': 'school-a' })
  await started
  leaving.destroy()
  await until(() => logged.some(({ msg }) => msg === 'the client went away'))
  await app.close()
  const about = logged.filter(({ request_id }) => request_id !== undefined)
  t.match(about, [{ level: 30, msg: 'the client went away', method: 'POST', path: '/ask', tenant: 'school-a' }])
  t.notMatch(await metrics.registry.metrics(), /application_errors_total\{[^}]*\} [1-9]/)
})

t.test('a connection that falls idle only after its server began to close does not hold it up', async (t) => {
  const { app, url } = await build(t)
  const headers = { 'content-type': 'text/plain', 'content-length': 5 }
  const agent = new Agent({ keepAlive: true }) // stays for as long as the server lets it
  t.teardown(() => agent.destroy())
  const uploading = request(`${url}/ask`, { method: 'POST', headers, agent }).on('error', () => {})
  uploading.write('1')
  const [response] = await once(uploading, 'response')
  t.equal(response.resume().statusCode, 415, 'before all of the upload has come')
  const startedAt = performance.now()
  const closed = app.close()
  uploading.end('2345')
  await closed
  t.ok(performance.now() - startedAt < 10_000, 'long before the 72 s of its keep-alive')
})
