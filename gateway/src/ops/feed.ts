import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

interface FeedOptions<State> {
  read(): Promise<State>
  /** Milliseconds between two readings, while somebody watches. */
  everyMs: number
  /** A watcher that takes nothing for so long is dropped. */
  dropAfterMs: number
  /** When a reading fails, which ends the streams. */
  onError(error: unknown): void
}

/**
 * Reads a state every so often while somebody watches, and sends each watcher the newest one that it can take: a slow
 * reader skips states, and nothing queues for it.
 */
export class Feed<State> {
  readonly #options: FeedOptions<State>
  readonly #watchers = new Map<Watcher, (state: State) => string>()
  readonly #closing = new AbortController()
  #isReading = false

  constructor(options: FeedOptions<State>) {
    this.#options = options
  }

  get watchers(): number {
    return this.#watchers.size
  }

  /** A stream of server-sent events, each with the state as `show` makes it. */
  watch(show: (state: State) => string): Readable {
    const watcher = new Watcher()
    this.#watchers.set(watcher, show)
    watcher.once('close', () => this.#watchers.delete(watcher))
    if (!this.#isReading) this.#keepReading().catch((error) => this.#failed(error))
    return watcher
  }

  close(): void {
    this.#closing.abort()
    for (const watcher of this.#watchers.keys()) watcher.destroy()
  }

  #failed(error: unknown): void {
    this.#isReading = false
    for (const watcher of this.#watchers.keys()) watcher.destroy()
    this.#options.onError(error)
  }

  async #keepReading(): Promise<void> {
    const { read, everyMs, dropAfterMs } = this.#options
    this.#isReading = true
    while (this.#watchers.size > 0 && !this.#closing.signal.aborted) {
      const state = await read()
      for (const [watcher, show] of this.#watchers) {
        if (watcher.waitsForMs > dropAfterMs) watcher.destroy()
        else watcher.offer(`event: state\ndata: ${show(state)}\n\n`)
      }
      await sleep(everyMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {}) // closing
    }
    this.#isReading = false
  }
}

/** Holds one event at most: the newest that its reader has not taken. */
class Watcher extends Readable {
  #newest: string | undefined
  #wantsMore = false
  #blockedSinceMs: number | undefined

  constructor() {
    super({ highWaterMark: 1 })
  }

  /** For how long an event has not been taken. */
  get waitsForMs(): number {
    return this.#blockedSinceMs === undefined ? 0 : performance.now() - this.#blockedSinceMs
  }

  offer(event: string): void {
    this.#newest = event
    if (this.#wantsMore) this.#give()
    else this.#blockedSinceMs ??= performance.now()
  }

  override _read(): void {
    this.#wantsMore = true
    if (this.#newest !== undefined) this.#give()
  }

  #give(): void {
    const event = this.#newest
    this.#newest = undefined
    this.#wantsMore = false
    this.#blockedSinceMs = undefined
    this.push(event)
  }
}
