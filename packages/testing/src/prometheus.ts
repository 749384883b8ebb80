import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.ts'
import type { TestContext } from './test-context.ts'

export interface Sample {
  labels: Record<string, string>
  value: number
}

export interface TestPrometheus {
  url: string
  /** The answer of an instant query; throws what Prometheus says when the expression is wrong. */
  query(expression: string): Promise<Sample[]>
  /** The `data` of an endpoint below `/api/v1/`, such as `targets` or `rules`. */
  api<T>(path: string): Promise<T>
  /** What it has logged. */
  output(): string
}

const configuration = fileURLToPath(new URL('../../../prometheus', import.meta.url))

/**
 * A real Prometheus with the repository's prometheus/prometheus.yml and rules, unchanged, ended with the test. What it
 * scrapes stands in target files beside them: job → base URLs.
 */
export async function prometheusForTest(
  t: TestContext,
  targets: Record<string, readonly string[]>,
): Promise<TestPrometheus> {
  const directory = await mkdtemp(join(tmpdir(), 'knowalledge-prometheus-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  await cp(configuration, directory, { recursive: true })
  await mkdir(join(directory, 'targets'), { recursive: true })
  for (const [job, urls] of Object.entries(targets)) {
    const addresses = [{ targets: urls.map((url) => new URL(url).host) }]
    await writeFile(join(directory, 'targets', `${job}.json`), JSON.stringify(addresses))
  }
  const url = `http://127.0.0.1:${await freePort()}`
  const server = startPrometheus(directory, new URL(url).host)
  t.teardown(server.stop)
  while (!(await isReady(url))) {
    if (!server.lives()) throw new Error(`prometheus did not start:\n${server.output()}`)
    await sleep(50)
  }
  const api = async <T>(path: string): Promise<T> => {
    const answer = (await (await fetch(`${url}/api/v1/${path}`)).json()) as { data: T; error?: string }
    if (answer.error !== undefined) throw new Error(`${path}: ${answer.error}`)
    return answer.data
  }
  return {
    url,
    api,
    output: server.output,
    async query(expression) {
      const { result } = await api<InstantVector>(`query?query=${encodeURIComponent(expression)}`)
      return result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
    },
  }
}

interface InstantVector {
  result: { metric: Record<string, string>; value: [atSeconds: number, value: string] }[]
}

function startPrometheus(directory: string, address: string) {
  const settings = [
    `--config.file=${join(directory, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(directory, 'samples')}`,
    `--web.listen-address=${address}`,
  ]
  const child = spawn('prometheus', settings, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] })
  let output = ''
  child.stderr.setEncoding('utf8').on('data', (text) => (output += text))
  const ended = once(child, 'exit')
  return {
    lives: () => child.exitCode === null && child.signalCode === null,
    output: () => output,
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

const isReady = (url: string) =>
  fetch(`${url}/-/ready`).then(
    (reply) => reply.ok,
    () => false, // not listening yet
  )
