/** Counts what each name has under way, up to a maximum; 0: no maximum. */
export class Places {
  readonly #max: number
  readonly #taken = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  /** False, and nothing is taken, when this name has all that it may have. */
  take(name: string): boolean {
    if (this.#max === 0) return true
    const taken = this.#taken.get(name) ?? 0
    if (taken >= this.#max) return false
    this.#taken.set(name, taken + 1)
    return true
  }

  leave(name: string): void {
    if (this.#max === 0) return
    const left = (this.#taken.get(name) ?? 1) - 1
    if (left === 0) this.#taken.delete(name)
    else this.#taken.set(name, left)
  }
}
