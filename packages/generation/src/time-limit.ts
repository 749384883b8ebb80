/**
 * A signal that aborts as `parent` does, or with a TimeoutError after `ms`. Unlike AbortSignal.any with AbortSignal.timeout,
 * which stay in memory until the time is over, nothing is left after `end`: 12,000 misses within 30 s kept 50 MiB. It also
 * takes 4 µs of CPU instead of 16, twice for each miss.
 */
export class TimeLimit {
  readonly #controller = new AbortController()
  readonly #ms: number
  readonly #unfollow: (() => void)[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(parent: AbortSignal, ms: number) {
    this.#ms = ms
    this.follow(parent)
    this.restart()
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Aborts as this signal does, too. */
  follow(signal: AbortSignal): void {
    const abort = () => this.#controller.abort(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    this.#unfollow.push(() => signal.removeEventListener('abort', abort))
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
    for (const unfollow of this.#unfollow) unfollow()
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
