import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { DecoderReply, DecoderRequest } from './decoder-messages.ts'
import type { PreparedImage } from './image.ts'
import { ImageError } from './image-error.ts'

const entry = fileURLToPath(new URL('./decoder-process.ts', import.meta.url))
const maxHeapMegabytes = 64

export interface DecoderOptions {
  /** For each of: starting, reading the header, decoding. */
  timeoutMs: number
}

/** Resolves when there is memory for an image that takes so much decoded. */
export type Admit = (decodedBytes: number) => Promise<void>

/**
 * Prepares one image at a time in a process of its own, which is killed when it takes too long: libjpeg checks no timeout
 * before its last scan, and a native call cannot be ended otherwise. The next image starts a new process.
 */
export class Decoder {
  readonly #timeoutMs: number
  #process: ChildProcess | undefined

  constructor({ timeoutMs }: DecoderOptions) {
    this.#timeoutMs = timeoutMs
  }

  /** Of the process; undefined while there is none. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** Awaits `admit` between header and pixels, and decodes nothing when that rejects. Throws ImageError for a bad image. */
  async prepare(content: Uint8Array[], admit: Admit): Promise<PreparedImage> {
    const child = await this.#start()
    child.ref()
    try {
      return await this.#prepareIn(child, content, admit)
    } finally {
      child.unref() // an idle decoder does not keep the service alive
    }
  }

  async close(): Promise<void> {
    if (this.#process) await end(this.#process)
  }

  async #prepareIn(child: ChildProcess, content: Uint8Array[], admit: Admit): Promise<PreparedImage> {
    const inspecting = this.#reply(child)
    sendImage(child, content)
    const { decodedBytes } = expectKind(await inspecting, 'inspected')
    await admit(decodedBytes)
    const decoding = this.#reply(child)
    send(child, { kind: 'decode' })
    return expectKind(await decoding, 'prepared').image
  }

  async #start(): Promise<ChildProcess> {
    if (this.#process) return this.#process
    const child = fork(entry, [], {
      env: { MALLOC_ARENA_MAX: '1' }, // an arena for each thread keeps 280 MB where one keeps 150
      execArgv: [`--max-old-space-size=${maxHeapMegabytes}`],
      serialization: 'advanced',
      stdio: ['pipe', 'ignore', 'inherit', 'ipc'],
    })
    this.#process = child
    const forget = () => {
      if (this.#process === child) this.#process = undefined
    }
    child.once('exit', forget).once('error', forget)
    child.stdin?.on('error', () => {}) // its end is told by `exit`
    const starting = this.#reply(child)
    child.channel?.unref()
    ;(child.stdin as Socket).unref()
    expectKind(await starting, 'ready')
    return child
  }

  /** The next message. A process that does not send it in time is killed, and gone when this rejects. */
  async #reply(child: ChildProcess): Promise<DecoderReply> {
    const { promise, resolve, reject } = Promise.withResolvers<DecoderReply>()
    const onExit = (code: number | null, signal: string | null) =>
      reject(new Error(`the decoder's process ended: ${signal ?? `exit code ${code}`}`))
    const timer = setTimeout(() => {
      child.off('exit', onExit)
      this.#process = undefined
      end(child).then(() => reject(tooSlow(this.#timeoutMs)), reject)
    }, this.#timeoutMs)
    child.once('message', resolve).once('exit', onExit).once('error', reject)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      child.off('message', resolve).off('exit', onExit).off('error', reject)
    }
  }
}

function send(child: ChildProcess, request: DecoderRequest): void {
  if (child.connected) child.send(request)
}

function sendImage(child: ChildProcess, content: Uint8Array[]): void {
  send(child, { kind: 'inspect', bytes: content.reduce((sum, { length }) => sum + length, 0) })
  child.stdin?.cork() // all parts in one system call
  for (const part of content) child.stdin?.write(part)
  child.stdin?.uncork()
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.ref()
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

type ReplyOf<K extends DecoderReply['kind']> = Extract<DecoderReply, { kind: K }>

function expectKind<K extends DecoderReply['kind']>(reply: DecoderReply, kind: K): ReplyOf<K> {
  if (reply.kind === kind) return reply as ReplyOf<K>
  if (reply.kind === 'refused') throw new ImageError(reply.problem, reply.message)
  throw new Error(`the decoder's process sent ${reply.kind}`)
}

function tooSlow(timeoutMs: number): ImageError {
  return new ImageError(
    'too_slow',
    `The image was not decoded within ${timeoutMs / 1000} seconds. Send a smaller one, or try again.`,
  )
}
