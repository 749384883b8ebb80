import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { processForTest } from '@knowalledge/testing'
import t, { type Test } from 'tap'
import { fleetForTest } from './fleet.ts'

interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
}

/** The receiving end of OTLP over HTTP, in JSON, as a collector has it. */
async function collectorForTest(t: Test) {
  const spans: (Span & { service: string })[] = []
  const server = createServer(async (request, response) => {
    const { resourceSpans = [] } = JSON.parse(await text(request))
    for (const { resource, scopeSpans } of resourceSpans) {
      const service = resource.attributes.find(({ key }: { key: string }) => key === 'service.name').value.stringValue
      for (const scope of scopeSpans) spans.push(...scope.spans.map((span: Span) => ({ ...span, service })))
    }
    response.end('{}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { spans, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

t.test("a request is one trace: the client's, the gateway's, the service's, cache, quota and Gemini", async (t) => {
  const collector = await collectorForTest(t)
  const { gateway, text: services } = await fleetForTest(t, { env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } })
  const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
  const reply = await fetch(`${gateway.url}/api/create_subtopics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
    body: JSON.stringify({ topic: 'Light' }),
  })
  t.equal(reply.status, 200)
  await Promise.all([gateway, ...services].map((running) => running.stop())) // the last spans are sent at the end

  const trace = collector.spans.filter((span) => span.traceId === traceId)
  const named = (name: string, service: string) =>
    trace.find((span) => span.name.startsWith(name) && span.service === service)
  const ancestors = (span: Span | undefined): string[] => {
    const parent = trace.find(({ spanId }) => spanId === span?.parentSpanId)
    return parent ? [`${parent.service} ${parent.name}`, ...ancestors(parent)] : [String(span?.parentSpanId)]
  }
  const whole = (name: string) => ancestors(named(name, 'text-generation')).join(' < ')
  t.match(whole('cache.claim'), /text-generation request.* < gateway request.* < 00f067aa0ba902b7$/)
  t.match(whole('quota.reserve'), /^text-generation cache.claim/)
  t.match(whole('gemini create_subtopics'), /^text-generation cache.claim/)
})

t.test('a collector that never answers does not keep a process from its end', async (t) => {
  const asked = Promise.withResolvers<void>()
  const silent = createServer(() => asked.resolve()).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => {
    silent.closeAllConnections()
    silent.close()
  })
  const endpoint = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, REDIS_ENABLED: 'false', LOG_LEVEL: 'warn', DRAIN_MS: '0' }
  const service = await processForTest(t, 'services/text-generation/src/server.ts', { env })
  await fetch(`${service.url}/ready`)
  const code = service.stop()
  await asked.promise
  t.equal(await code, 0, 'it ended by itself, and was not given up after 9.5 s')
})
