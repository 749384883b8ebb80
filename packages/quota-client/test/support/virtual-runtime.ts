import type { Runtime, Timer } from '../../src/index.ts'

interface PendingTimer {
  runtime: VirtualRuntime
  /** On the monotonic clock of `runtime`. */
  dueMs: number
  callback: () => void
}

/** The true time of a test, which moves only when the test says so, and stands still while work outside of it is under way. */
export class VirtualTime {
  /** Milliseconds since the epoch. Start in the future: Redis forgets keys that have expired by its own clock. */
  nowMs: number
  readonly #timers = new Set<PendingTimer>()
  readonly #outside = new Set<Promise<unknown>>()

  constructor(start: string) {
    this.nowMs = Date.parse(start)
  }

  runtime(): VirtualRuntime {
    return new VirtualRuntime(this)
  }

  /** Moves on by `ms`, from timer to timer. */
  async pass(ms: number): Promise<void> {
    const endMs = this.nowMs + ms
    await this.settle()
    for (;;) {
      const next = this.#next()
      if (next === undefined || next.atMs > endMs) break
      this.nowMs = Math.max(this.nowMs, next.atMs)
      this.#timers.delete(next.timer)
      next.timer.callback()
      await this.settle()
    }
    this.nowMs = endMs
    await this.settle()
  }

  /** Moves on by `ms` at once, as for a process that stood still: its timers fire late. */
  async jump(ms: number): Promise<void> {
    await this.settle()
    this.nowMs += ms
    await this.pass(0)
  }

  /** Moves on until `promise` settles, for at most `limitMs`. */
  async until<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    let isDone = false
    const done = () => {
      isDone = true
    }
    promise.then(done, done)
    await this.settle()
    for (const endMs = this.nowMs + limitMs; !isDone && this.nowMs < endMs; ) await this.pass(10)
    if (!isDone) throw new Error(`nothing came of it within ${limitMs} ms`)
    return promise
  }

  /** Waits for the work outside and for the promises and ticks that follow from it. */
  async settle(): Promise<void> {
    do {
      await Promise.allSettled(this.#outside)
      await new Promise((resolve) => setImmediate(resolve))
    } while (this.#outside.size > 0)
  }

  /** Work for which time stands still: a call that a real Redis carries out. */
  outside<T>(work: Promise<T>): Promise<T> {
    this.#outside.add(work)
    const done = () => this.#outside.delete(work)
    work.then(done, done)
    return work
  }

  add(timer: PendingTimer): Timer {
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  #next(): { timer: PendingTimer; atMs: number } | undefined {
    let next: { timer: PendingTimer; atMs: number } | undefined
    for (const timer of this.#timers) {
      if (timer.runtime.isMachinePaused) continue
      const atMs = this.nowMs + timer.dueMs - timer.runtime.monotonicMs()
      if (next === undefined || atMs < next.atMs) next = { timer, atMs }
    }
    return next
  }
}

/** What one process sees of the time. */
export class VirtualRuntime implements Runtime {
  /** How far its wall clock is ahead of the true time. */
  wallAheadMs = 0
  /** Its machine stands still: timers wait, and the monotonic clock does not count what passes. */
  isMachinePaused = false
  readonly #time: VirtualTime
  readonly #startMs: number
  #pausedMs = 0

  constructor(time: VirtualTime) {
    this.#time = time
    this.#startMs = time.nowMs - 1000
  }

  async pauseMachine(ms: number): Promise<void> {
    const beforeMs = this.monotonicMs()
    this.isMachinePaused = true
    await this.#time.pass(ms)
    this.#pausedMs += this.monotonicMs() - beforeMs
    this.isMachinePaused = false
  }

  monotonicMs(): number {
    return this.#time.nowMs - this.#startMs - this.#pausedMs
  }

  wallMs(): number {
    return this.#time.nowMs + this.wallAheadMs
  }

  setTimer(callback: () => void, ms: number): Timer {
    return this.#time.add({ runtime: this, dueMs: this.monotonicMs() + Math.max(1, ms), callback })
  }

  defer(callback: () => void): void {
    process.nextTick(callback)
  }

  random(): number {
    return Math.random()
  }
}
