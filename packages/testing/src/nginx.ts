import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from './free-port.ts'
import type { TestContext } from './test-context.ts'

/** One line of the access log, as nginx/nginx.conf writes it. */
export interface EdgeLogLine {
  time: string
  request_id: string
  client: string
  method: string
  /** Without the query. */
  path: string
  status: number
  bytes: number
  duration_seconds: number
  edge_cache: string
  /** Every gateway that was tried, separated by commas; empty when none was. */
  upstream: string
  upstream_status: string
  upstream_seconds: string
  user_agent: string
}

export interface TestNginx {
  url: string
  port: number
  /** The master, whose children are the workers. */
  process: ChildProcess
  /** Makes everything that is cached older, as if that time had passed. What was just written must have been hit once. */
  age(seconds: number): Promise<void>
  /** What it has written to stderr: the error log. */
  output(): string
  /** The access log so far. nginx writes a line after the answer: waits for those of the requests that are named. */
  accessLog(requestIds: readonly string[]): Promise<EdgeLogLine[]>
}

const template = fileURLToPath(new URL('../../../nginx/nginx.conf', import.meta.url))

/**
 * A real nginx with the repository's nginx/nginx.conf on a free loopback port, in front of `gateways` (URLs), ended with
 * the test. The variables are substituted as envsubst of the official image does it.
 */
export async function nginxForTest(
  t: TestContext,
  { gateways, isBehindProxy = false }: { gateways: readonly string[]; isBehindProxy?: boolean },
): Promise<TestNginx> {
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'knowalledge-nginx-'))
  await chmod(directory, 0o755) // started by root, its workers are somebody else
  const files = { conf: join(directory, 'nginx.conf'), log: join(directory, 'access.log') }
  const source = await readFile(template, 'utf8')
  const text = substitute(isBehindProxy ? withProxy(source) : source, {
    LISTEN: `127.0.0.1:${port}`,
    GATEWAY_SERVERS: gateways.map((url) => `server ${new URL(url).host} max_fails=0;`).join(' '),
    CACHE_DIR: directory,
    ACCESS_LOG: files.log,
  })
  await writeFile(files.conf, text)
  const nginx = startNginx(directory, files.conf)
  t.teardown(async () => {
    await nginx.stop()
    await rm(directory, { recursive: true, force: true })
  })
  if (!(await listening(port, nginx.lives))) throw new Error(`nginx did not start:\n${nginx.output()}`)
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    process: nginx.process,
    age: (seconds) => age(join(directory, 'answers'), seconds),
    output: nginx.output,
    accessLog: (requestIds) => readLog(files.log, requestIds),
  }
}

/** The slot for a proxy in front, filled: the proxy is on this machine. */
function withProxy(text: string): string {
  return text
    .replace(/# {3}(set_real_ip_from) .*;/, '$1 127.0.0.0/8;')
    .replaceAll(/# {3}(real_ip_(?:header|recursive) .*;)/g, '$1')
}

/** Only `${NAME}` in capitals; nginx's own `$variables` stay. Throws when a name of the template has no value. */
function substitute(text: string, values: Record<string, string>): string {
  return text.replaceAll(/\$\{([A-Z_]+)\}/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) throw new Error(`nginx.conf wants ${name}, which this fixture does not give`)
    return value
  })
}

function startNginx(directory: string, conf: string) {
  const settings = `daemon off; pid ${join(directory, 'nginx.pid')};`
  const child: ChildProcess = spawn('nginx', ['-p', directory, '-e', 'stderr', '-c', conf, '-g', settings], {
    // Debian keeps it where only root's PATH leads.
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin` },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let output = ''
  child.stderr?.setEncoding('utf8').on('data', (text) => (output += text))
  const ended = once(child, 'exit')
  const lives = () => child.exitCode === null && child.signalCode === null
  return {
    process: child,
    lives,
    output: () => output,
    /** By SIGTERM: after a SIGKILL of the master its workers would live on. */
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

async function listening(port: number, lives: () => boolean): Promise<boolean> {
  while (lives()) {
    const socket = connect(port, '127.0.0.1')
    const isUp = await once(socket, 'connect').then(
      () => true,
      () => false, // not yet
    )
    socket.destroy()
    if (isUp) return true
    await sleep(10)
  }
  return false
}

async function readLog(file: string, requestIds: readonly string[]): Promise<EdgeLogLine[]> {
  for (;;) {
    const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1)
    const log = lines.map((line) => JSON.parse(line) as EdgeLogLine)
    const written = new Set(log.map((line) => line.request_id))
    if (requestIds.every((id) => written.has(id))) return log
    await sleep(10)
  }
}

/** nginx reads when a copy expires from the head of its file at every request: an 8-byte time_t after an 8-byte version. */
async function age(answers: string, seconds: number): Promise<void> {
  const entries = await readdir(answers, { recursive: true, withFileTypes: true })
  for (const entry of entries.filter((entry) => entry.isFile())) {
    const file = await open(join(entry.parentPath, entry.name), 'r+')
    try {
      const validUntil = Buffer.alloc(8)
      await file.read(validUntil, 0, 8, 8)
      validUntil.writeBigInt64LE(validUntil.readBigInt64LE() - BigInt(seconds))
      await file.write(validUntil, 0, 8, 8)
    } finally {
      await file.close()
    }
  }
}
