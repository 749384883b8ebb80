interface Waiter {
  units: number
  admit: () => void
}

/** A weighted semaphore: so many units may be held at a time. Waiters are admitted in order of arrival. */
export class Semaphore {
  readonly capacity: number
  #held = 0
  readonly #waiters = new Set<Waiter>()

  constructor(capacity: number) {
    this.capacity = capacity
  }

  get held(): number {
    return this.#held
  }

  /** Never overtakes a waiter. */
  tryAcquire(units: number): boolean {
    if (this.#waiters.size > 0 || this.#held + units > this.capacity) return false
    this.#held += units
    return true
  }

  /** Rejects with the signal's reason when that aborts first. More units than the capacity are never admitted. */
  async acquire(units: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.tryAcquire(units)) return
    await new Promise<void>((resolve, reject) => {
      const leave = () => {
        this.#waiters.delete(waiter)
        this.#admit() // those behind may fit
        reject(signal.reason)
      }
      const admit = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const waiter = { units, admit }
      this.#waiters.add(waiter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  release(units: number): void {
    this.#held -= units
    this.#admit()
  }

  #admit(): void {
    for (const waiter of this.#waiters) {
      if (this.#held + waiter.units > this.capacity) return
      this.#held += waiter.units
      this.#waiters.delete(waiter)
      waiter.admit()
    }
  }
}
