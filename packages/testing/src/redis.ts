import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis, type RedisOptions } from 'ioredis'
import { freePort } from './free-port.ts'
import type { TestContext } from './test-context.ts'

export interface TestRedisServer {
  port: number
  url: string
  /** The process, for SIGSTOP, SIGCONT and SIGKILL. */
  process: ChildProcess
  /** A new connection, closed with the test. */
  connect(options?: RedisOptions): Redis
  /**
   * Kills it and starts it again on the same port. It comes back empty, unless `withSnapshot`: then with what its last SAVE
   * wrote.
   */
  restart(options?: { withSnapshot?: boolean }): Promise<void>
}

/** A redis-server of the test's own: nothing is shared with other tests, and it may be hung or killed at will. */
export async function redisServerForTest(t: TestContext, extraArguments: string[] = []): Promise<TestRedisServer> {
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'knowalledge-redis-'))
  const clients: Redis[] = []
  const server: TestRedisServer = {
    port,
    url: `redis://127.0.0.1:${port}`,
    process: await startRedis(port, directory, extraArguments),
    connect(options = {}) {
      const client = new Redis(port, '127.0.0.1', options)
      client.on('error', () => {}) // tests cut connections on purpose; commands still reject
      clients.push(client)
      return client
    },
    async restart({ withSnapshot = false } = {}) {
      await stop(server.process)
      if (!withSnapshot) await rm(join(directory, 'dump.rdb'), { force: true })
      server.process = await startRedis(port, directory, extraArguments)
    },
  }
  t.teardown(async () => {
    for (const client of clients) client.disconnect()
    await stop(server.process)
    await rm(directory, { recursive: true, force: true })
  })
  return server
}

/** A connection to a fresh, empty Redis. */
export async function redisForTest(t: TestContext): Promise<Redis> {
  return (await redisServerForTest(t)).connect()
}

async function startRedis(port: number, directory: string, extraArguments: string[]): Promise<ChildProcess> {
  const settings = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--appendonly',
    'no',
    '--dir',
    directory,
  ]
  const child = spawn('redis-server', [...settings, ...extraArguments], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  for await (const chunk of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    output += chunk
    if (output.includes('Ready to accept connections')) {
      child.stdout.resume() // a full pipe would block the server
      return child
    }
  }
  throw new Error(`redis-server did not start on port ${port}:\n${output}`)
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
