import { setTimeout as sleep } from 'node:timers/promises'
import { type Attributes, SpanStatusCode, trace } from '@opentelemetry/api'

/** How long a process that ends waits for the collector; it must end within 10 s, whatever else takes time. */
const lastSpansMs = 1_000

export interface TracingOptions {
  /** `service.name` of every span. */
  service: string
  /** Base of an OTLP/HTTP collector, such as http://collector:4318; without it nothing is traced and nothing is loaded. */
  endpoint: string | undefined
}

/**
 * Switches on OpenTelemetry for this process: each request to a Fastify app made afterwards is a span, a child of the
 * caller's by `traceparent`; generation adds spans for cache, quota and Gemini. Returns what sends the last spans,
 * for at most a second.
 */
export async function startTracing({ service, endpoint }: TracingOptions): Promise<() => Promise<void>> {
  if (endpoint === undefined) return async () => {}
  const [api, { W3CTraceContextPropagator }, { AsyncLocalStorageContextManager }, exporter, resources, sdk, fastify] =
    await Promise.all([
      import('@opentelemetry/api'),
      import('@opentelemetry/core'),
      import('@opentelemetry/context-async-hooks'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/resources'),
      import('@opentelemetry/sdk-trace'),
      import('@fastify/otel'),
    ])
  const url = `${endpoint.replace(/\/+$/, '')}/v1/traces`
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({ 'service.name': service, 'service.namespace': 'knowalledge' }),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: new exporter.OTLPTraceExporter({ url }) })],
  })
  api.trace.setGlobalTracerProvider(provider)
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  api.propagation.setGlobalPropagator(new W3CTraceContextPropagator())
  const instrumentation = new fastify.FastifyOtelInstrumentation({
    registerOnInitialization: true,
    instrumentHooks: false,
  })
  instrumentation.setTracerProvider(provider)
  return async () => {
    const sent = provider.shutdown().catch(() => {}) // spans are lost then, and nothing else
    await Promise.race([sent, sleep(lastSpansMs, undefined, { ref: false })])
  }
}

const tracer = trace.getTracer('@knowalledge')

/** Runs a step in a span of its own; costs next to nothing where tracing is off. */
export async function inSpan<T>(name: string, attributes: Attributes, step: () => Promise<T>): Promise<T> {
  return await tracer.startActiveSpan(name, { attributes }, async (span) => {
    try {
      return await step()
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : 'unknown' })
      throw error
    } finally {
      span.end()
    }
  })
}
