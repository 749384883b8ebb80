export interface Scheduled {
  cancel(): void
}

interface Entry {
  atMs: number
  order: number
  run: () => unknown
  isCancelled: boolean
  isQuiet: boolean
}

/**
 * A clock that moves only from event to event. An event that returns a promise is awaited, so that time stands still while
 * the real Redis carries out a script; then promises and ticks run dry before the next event.
 */
export class VirtualTime {
  readonly #heap: Entry[] = []
  #scheduled = 0
  #nowMs = 0

  get nowMs(): number {
    return this.#nowMs
  }

  /** `isQuiet`: nobody waits for a promise that it resolves or makes a tick, so the next event may follow at once. */
  at(atMs: number, run: () => unknown, isQuiet = false): Scheduled {
    const entry = { atMs: Math.max(atMs, this.#nowMs), order: this.#scheduled++, run, isCancelled: false, isQuiet }
    this.#push(entry)
    return {
      cancel() {
        entry.isCancelled = true
      },
    }
  }

  after(ms: number, run: () => unknown): Scheduled {
    return this.at(this.#nowMs + ms, run)
  }

  async runUntil(untilMs: () => number): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs(); next = this.#heap[0]) {
      this.#pop()
      if (next.isCancelled) continue
      this.#nowMs = next.atMs
      const result = next.run()
      if (result instanceof Promise) await result
      if (!next.isQuiet) await endOfTurn()
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs())
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let at = heap.push(entry) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above]
      if (parent === undefined || isBefore(parent, entry)) break
      heap[at] = parent
      at = above
    }
    heap[at] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      let child = heap[below]
      if (child === undefined) break
      const other = heap[below + 1]
      if (other !== undefined && isBefore(other, child)) {
        child = other
        below += 1
      }
      if (isBefore(last, child)) break
      heap[at] = child
      at = below
    }
    heap[at] = last
  }
}

/** Resolves when the promises and ticks of this turn have run dry. */
function endOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.atMs < other.atMs || (one.atMs === other.atMs && one.order < other.order)
}
