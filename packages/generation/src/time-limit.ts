/**
 * A signal that aborts as `parent` does, or with a TimeoutError after `ms`. Unlike AbortSignal.any with AbortSignal.timeout,
 * which stay in memory until the time is over, nothing is left after `end`: 12,000 misses within 30 s kept 50 MiB. It also
 * takes 4 µs of CPU instead of 16, twice for each miss.
 */
export class TimeLimit {
  readonly #controller = new AbortController()
  readonly #parent: AbortSignal
  readonly #ms: number
  readonly #follow = () => this.#controller.abort(this.#parent.reason)
  #timer: NodeJS.Timeout | undefined

  constructor(parent: AbortSignal, ms: number) {
    this.#parent = parent
    this.#ms = ms
    if (parent.aborted) this.#follow()
    else parent.addEventListener('abort', this.#follow, { once: true })
    this.restart()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** The time starts again. */
  restart(): void {
    this.pause()
    this.#timer = setTimeout(() => {
      this.#controller.abort(new DOMException('The time limit was exceeded', 'TimeoutError'))
    }, this.#ms).unref()
  }

  pause(): void {
    clearTimeout(this.#timer)
  }

  /** Ends the work for another reason. */
  abort(reason: Error): void {
    this.#controller.abort(reason)
  }

  /** The work is done, in whatever way. */
  end(): void {
    this.pause()
    this.#parent.removeEventListener('abort', this.#follow)
  }
}

/** Does work within a time limit. */
export async function withTimeLimit<T>(
  parent: AbortSignal,
  ms: number,
  work: (limit: TimeLimit) => Promise<T>,
): Promise<T> {
  const limit = new TimeLimit(parent, ms)
  try {
    return await work(limit)
  } finally {
    limit.end()
  }
}
