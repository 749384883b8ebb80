import { GeminiError } from './errors.ts'

/** The calls under way, so that closing can wait for them. */
export class OpenCalls {
  readonly #running = new Set<Promise<unknown>>()
  #isClosed = false

  /** @throws GeminiError unavailable once closed */
  async run<T>(start: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new GeminiError('unavailable', 'The Gemini client is closed', { reachedGemini: false })
    const call = start()
    this.#running.add(call)
    try {
      return await call
    } finally {
      this.#running.delete(call)
    }
  }

  /** Takes no more calls and resolves when the last one has ended, however it ended. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#running)
  }
}
