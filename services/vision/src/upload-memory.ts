import { HttpError, type Logger } from '@knowalledge/service-kit'

const blockBytes = 64 * 1024
const retryAfterSeconds = 5
const logIntervalMs = 1_000

/**
 * The memory for uploads, one per process: blocks that are used again and again. Garbage would wait for the collector,
 * uncounted: uploads of 96 MiB, in buffers that grew, took 240 MiB.
 */
export class UploadMemory {
  readonly #maxBlocks: number
  readonly #log: Pick<Logger, 'warn'>
  readonly #free: Buffer[] = []
  #held = 0
  #loggedAtMs = Number.NEGATIVE_INFINITY

  constructor(maxBytes: number, log: Pick<Logger, 'warn'>) {
    this.#maxBlocks = Math.floor(maxBytes / blockBytes)
    this.#log = log
  }

  get heldBytes(): number {
    return this.#held * blockBytes
  }

  /** Throws HttpError `overloaded` when there is none. */
  take(): Buffer {
    if (this.#held >= this.#maxBlocks) throw this.#full()
    this.#held++
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(blockBytes)
  }

  giveBack(blocks: Buffer[]): void {
    this.#held -= blocks.length
    this.#free.push(...blocks)
  }

  #full(): HttpError {
    const nowMs = performance.now()
    if (nowMs - this.#loggedAtMs >= logIntervalMs) {
      this.#loggedAtMs = nowMs
      this.#log.warn({ max_bytes: this.#maxBlocks * blockBytes }, 'upload memory full, rejecting uploads')
    }
    const message = `The uploads in progress fill the memory for uploads. Try again in ${retryAfterSeconds} seconds.`
    return new HttpError('overloaded', message, { retryAfterSeconds })
  }
}

/** The upload of one request. Its owner releases it when the request ends, and nobody may read `content` after that. */
export class UploadBuffer {
  readonly #memory: UploadMemory
  readonly #blocks: Buffer[] = []
  #last: Buffer = Buffer.alloc(0)
  #length = 0

  constructor(memory: UploadMemory) {
    this.#memory = memory
  }

  /** Copies the chunk, so that a chunk of one byte takes one byte. Throws HttpError `overloaded`. */
  append(chunk: Buffer): void {
    for (let copied = 0; copied < chunk.length; ) {
      const at = this.#length % blockBytes
      if (at === 0) this.#last = this.#take()
      const bytes = chunk.copy(this.#last, at, copied)
      copied += bytes
      this.#length += bytes
    }
  }

  #take(): Buffer {
    const block = this.#memory.take()
    this.#blocks.push(block)
    return block
  }

  get content(): Uint8Array[] {
    return this.#blocks.map((block, n) => block.subarray(0, this.#length - n * blockBytes))
  }

  /** Gives the content back and keeps as much memory as these bytes take elsewhere, if it has that much. */
  replaceBy(bytes: number): void {
    this.#length = 0
    this.#memory.giveBack(this.#blocks.splice(Math.ceil(bytes / blockBytes)))
  }

  release(): void {
    this.replaceBy(0)
  }
}
