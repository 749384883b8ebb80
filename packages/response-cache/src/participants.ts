import type { Answer, ClaimOptions } from './types.ts'

export interface Participant {
  options: ClaimOptions<unknown>
  resolve(answer: Answer<unknown>): void
  reject(reason: unknown): void
}

/** The callers in this process who wait for one answer, each for as long as its own signal allows. */
export class Participants {
  readonly #present = new Set<Participant>()
  readonly #onEmpty: () => void
  #progress = ''

  /** `onEmpty` is called when the signal of the last one aborts, not when they are answered. */
  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty
  }

  get size(): number {
    return this.#present.size
  }

  join(options: ClaimOptions<unknown>): Promise<Answer<unknown>> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer<unknown>>()
    const { signal } = options
    const leave = () => {
      this.#present.delete(participant)
      reject(signal?.reason)
      if (this.#present.size === 0) this.#onEmpty()
    }
    // Also handles the rejection: a caller may drop its claim, and that must not end the process.
    promise.catch(() => {}).finally(() => signal?.removeEventListener('abort', leave))
    const participant = { options, resolve, reject }
    this.#present.add(participant)
    signal?.addEventListener('abort', leave, { once: true })
    if (this.#progress !== '') options.onProgress?.(this.#progress)
    return promise
  }

  /** Tells everyone but the producer, once; and those who join while it holds. `''`: it holds no more. */
  tell(progress: string, producer?: Participant): void {
    if (progress === this.#progress) return
    this.#progress = progress
    if (progress === '') return
    for (const participant of [...this.#present])
      if (participant !== producer) participant.options.onProgress?.(progress)
  }

  /** The one who has waited longest: its `produce` runs when this process leads. */
  first(): Participant | undefined {
    return this.#present.values().next().value
  }

  /** `producer` is told that it was not coalesced; undefined when nobody here produced. */
  answer(answer: Answer<unknown>, producer?: Participant): void {
    for (const participant of this.#present) {
      participant.resolve(participant === producer ? { ...answer, coalesced: false } : answer)
    }
    this.#present.clear()
  }

  fail(reason: unknown): void {
    for (const { reject } of this.#present) reject(reason)
    this.#present.clear()
  }
}
