import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.ts'
import type { TestContext } from './test-context.ts'

export interface TestProcess {
  url: string
  process: ChildProcess
  /** Everything it has written to stdout and stderr so far. */
  output(): string
  /** Sends the signal and waits for the end; the exit code, or the signal that ended it. */
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | null>
}

interface ProcessOptions {
  env?: Record<string, string>
  readyPath?: string
  /** To start again where another process was. */
  port?: number
}

export const root = fileURLToPath(new URL('../../..', import.meta.url))
/** Nothing of the caller's environment but what starts Node: a developer's own GEMINI_API_KEY must not reach a test. */
export const inherited = { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE }

/**
 * A deployable as in production: `node <file>` on a free port, answering when this resolves, ended with the test.
 * `file` is relative to the repository; `readyPath` must answer with any status but 404.
 */
export async function processForTest(
  t: TestContext,
  file: string,
  { env = {}, readyPath = '/health', port: given }: ProcessOptions = {},
): Promise<TestProcess> {
  const port = given ?? (await freePort())
  const settings = { ...inherited, HOST: '127.0.0.1', PORT: String(port), ...env }
  const child = spawn(process.execPath, [file], { cwd: root, env: settings, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals | null)
  const url = `http://127.0.0.1:${port}`
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const isUp = await answering(url + readyPath, () => child.exitCode === null && child.signalCode === null)
  if (!isUp) throw new Error(`${file} ended with ${await ended}:\n${output}`)
  return {
    url,
    process: child,
    output: () => output,
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      return await ended
    },
  }
}

/** Asks until there is an answer or the process has ended; one that does neither fails by the test's own time limit. */
async function answering(url: string, lives: () => boolean): Promise<boolean> {
  while (lives()) {
    const status = await fetch(url).then(
      (reply) => reply.status,
      () => undefined, // not listening yet
    )
    if (status !== undefined && status !== 404) return true
    await sleep(20)
  }
  return false
}
