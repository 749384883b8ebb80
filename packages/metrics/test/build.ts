import fastify, { type FastifyInstance } from 'fastify'
import {
  type AppMetrics,
  createMetrics,
  type MetricsOptions,
  type MetricsPluginOptions,
  metricsPlugin,
  type QuotaPoolReader,
} from '../src/index.ts'

interface TestContext {
  teardown(fn: () => unknown): void
}

export interface TestApp {
  app: FastifyInstance
  metrics: AppMetrics
  /** The text of a scrape. */
  scrape(): Promise<string>
}

/** An app with the plugin and one route, `POST /api/create_subtopics`. */
export async function build(
  t: TestContext,
  options: Omit<MetricsPluginOptions, 'metrics'> & MetricsOptions & { quota?: QuotaPoolReader['usage'] } = {},
): Promise<TestApp> {
  const metrics = createMetrics(options)
  const app = fastify()
  const { quota, listener = { host: '127.0.0.1' }, ...rest } = options
  const quotaPools = options.quotaPools ?? (quota && [{ name: 'gemini', usage: quota }])
  await app.register(metricsPlugin, { ...rest, metrics, quotaPools, listener })
  app.post('/api/create_subtopics', { config: { endpoint: 'create_subtopics' } }, async () => ({ subtopics: [] }))
  t.teardown(() => app.close())
  return { app, metrics, scrape: async () => (await app.inject('/metrics')).body }
}

/** The sample lines of an exposition as series → value. */
export function samples(exposition: string): Map<string, number> {
  const lines = exposition.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), Number(line.slice(at + 1))]
    }),
  )
}

/** The series of one metric family, its buckets, sum and count included. */
export function family(exposition: string, name: string): string[] {
  return [...samples(exposition).keys()].filter(
    (series) => series.replace(/(_bucket|_sum|_count)?(\{.*)?$/, '') === name,
  )
}
