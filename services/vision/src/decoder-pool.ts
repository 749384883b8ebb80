import { Semaphore } from '@knowalledge/generation'
import { HttpError } from '@knowalledge/service-kit'
import { Decoder } from './decoder.ts'
import type { PreparedImage } from './image.ts'
import { decoderCount, decodeTimeoutMs, maxDecodedBytes, maxDecodeWaitMs } from './limits.ts'

export interface DecoderPoolOptions {
  decoders?: number
  timeoutMs?: number
  /** For a free decoder. */
  maxWaitMs?: number
  /** Bytes that all decoders together may hold of decoded images. */
  memory?: Semaphore
}

/** Prepares images in a few processes that start when they are first needed. One per service process. */
export class DecoderPool {
  readonly #decoders: Decoder[]
  readonly #idle: Decoder[]
  readonly #slots: Semaphore
  readonly #memory: Semaphore
  readonly #maxWaitMs: number

  constructor(options: DecoderPoolOptions = {}) {
    const { decoders = decoderCount, timeoutMs = decodeTimeoutMs, maxWaitMs = maxDecodeWaitMs } = options
    this.#decoders = Array.from({ length: decoders }, () => new Decoder({ timeoutMs }))
    this.#idle = [...this.#decoders]
    this.#slots = new Semaphore(decoders)
    this.#memory = options.memory ?? new Semaphore(maxDecodedBytes)
    this.#maxWaitMs = maxWaitMs
  }

  /**
   * Throws ImageError for an image that cannot be used, HttpError `overloaded` when no decoder is free in time, and the
   * signal's reason when that aborts before the decoding begins.
   */
  async prepare(content: Uint8Array[], signal: AbortSignal): Promise<PreparedImage> {
    await this.#slot(signal)
    const decoder = this.#idle.pop() as Decoder // there are as many as slots
    let admitted = 0
    try {
      return await decoder.prepare(content, async (decodedBytes) => {
        await this.#memory.acquire(decodedBytes, signal)
        admitted = decodedBytes
      })
    } finally {
      this.#memory.release(admitted)
      this.#idle.push(decoder)
      this.#slots.release(1)
    }
  }

  /** Gives up what is being decoded. */
  async close(): Promise<void> {
    await Promise.all(this.#decoders.map((decoder) => decoder.close()))
  }

  async #slot(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#slots.tryAcquire(1)) return
    const wait = AbortSignal.timeout(this.#maxWaitMs)
    try {
      await this.#slots.acquire(1, AbortSignal.any([signal, wait]))
    } catch (error) {
      if (signal.aborted) throw error
      const seconds = Math.ceil(this.#maxWaitMs / 1000)
      const message = `Every image decoder is busy. Try again in ${seconds} seconds.`
      throw new HttpError('overloaded', message, { retryAfterSeconds: seconds })
    }
  }
}
