import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type Argument = string | number | Buffer
type Value = Buffer | number | null

interface Waiting {
  resolve: (value: Value) => void
  reject: (error: Error) => void
}

export interface RedisServer {
  socketPath: string
  stop(): Promise<void>
}

/** Starts a redis-server of the simulator's own, without a port and without a file. It ends with this process. */
export async function startRedisServer(): Promise<RedisServer> {
  const directory = await mkdtemp(join(tmpdir(), 'quota-sim-'))
  const socketPath = join(directory, 'redis.sock')
  const settings = ['--port', '0', '--unixsocket', socketPath, '--save', '', '--appendonly', 'no', '--dir', directory]
  const server = spawn('redis-server', settings, { stdio: ['ignore', 'pipe', 'ignore'] })
  const kill = () => server.kill('SIGKILL')
  process.once('exit', kill)
  await new Promise<void>((resolve, reject) => {
    let output = ''
    server.once('error', reject)
    server.once('exit', () => reject(new Error(`redis-server did not start:\n${output}`)))
    server.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
      if (/ready to accept connections/i.test(output)) resolve()
    })
  })
  return {
    socketPath,
    async stop() {
      process.off('exit', kill)
      kill()
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit')
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** The smallest client that serves: a simulation makes a thousand calls, and a client that can do more costs more than the script. */
export class RealRedis {
  readonly #socket: Socket
  readonly #waiting: Waiting[] = []
  #outgoing: (string | Buffer)[] = []
  #unread: Buffer = Buffer.alloc(0)

  /** Connects to the server at this Unix socket. */
  static async connect(path: string): Promise<RealRedis> {
    const socket = connect(path)
    await once(socket, 'connect')
    return new RealRedis(socket)
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#read(chunk))
  }

  /** Sends with all other commands of this turn. Rejects with Redis's error. */
  command(...args: Argument[]): Promise<Value> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      if (this.#outgoing.length === 0) queueMicrotask(() => this.#flush())
      let text = `*${args.length}\r\n`
      for (const arg of args) {
        if (Buffer.isBuffer(arg)) {
          this.#outgoing.push(`${text}$${arg.length}\r\n`, arg)
          text = '\r\n'
        } else {
          const value = String(arg)
          text += `$${Buffer.byteLength(value)}\r\n${value}\r\n`
        }
      }
      this.#outgoing.push(text)
    })
  }

  close(): void {
    this.#socket.destroy()
  }

  #flush(): void {
    const outgoing = this.#outgoing
    this.#outgoing = []
    if (outgoing.every((part) => typeof part === 'string')) this.#socket.write(outgoing.join(''))
    else
      this.#socket.write(Buffer.concat(outgoing.map((part) => (typeof part === 'string' ? Buffer.from(part) : part))))
  }

  #read(chunk: Buffer): void {
    const bytes = this.#unread.length > 0 ? Buffer.concat([this.#unread, chunk]) : chunk
    let at = 0
    for (;;) {
      const end = bytes.indexOf('\r\n', at)
      if (end < 0) break
      const type = bytes[at]
      const line = bytes.toString('utf8', at + 1, end)
      let next = end + 2
      let value: Value | Error
      if (type === 0x24 /* $ */) {
        const length = Number(line)
        if (length >= 0 && bytes.length < next + length + 2) break
        value = length < 0 ? null : bytes.subarray(next, next + length)
        if (length >= 0) next += length + 2
      } else if (type === 0x3a /* : */) value = Number(line)
      else if (type === 0x2b /* + */) value = Buffer.from(line)
      else value = new Error(line)
      at = next
      const waiting = this.#waiting.shift()
      if (value instanceof Error) waiting?.reject(value)
      else waiting?.resolve(value)
    }
    this.#unread = bytes.subarray(at)
  }
}

/** The script with its view of the outside replaced by further keys: the time, what INFO says, a refusal of writes. */
export function instrument(lua: string): string {
  const write = "redis.call('HSET', KEY, unpack(writes))"
  const unchecked = write.replace('call', 'pcall') // of one of the deliberate faults
  const replacements: [string, string][] = [
    ["redis.call('TIME')", '{ 0, KEYS[5] }'],
    ["redis.call('INFO', 'replication')", 'KEYS[6]'],
    lua.includes(unchecked)
      ? [unchecked, `if KEYS[7] == '' then ${write} end`]
      : [write, `if KEYS[7] ~= '' then return redis.error_reply(KEYS[7]) end ${write}`],
  ]
  return replacements.reduce((text, [from, to]) => replaceOnce(text, from, to), lua)
}

/** Replaces the only occurrence; throws unless there is exactly one. */
export function replaceOnce(text: string, from: string, to: string): string {
  const parts = text.split(from)
  if (parts.length !== 2) throw new Error(`found ${parts.length - 1} times instead of once: ${from}`)
  return parts.join(to)
}
