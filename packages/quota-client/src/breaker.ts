/** Opens after three failures in a row; then nobody waits for Redis until a trial in the background has succeeded. */
export class Breaker {
  #failures = 0

  get isOpen(): boolean {
    return this.#failures >= 3
  }

  failed(): void {
    this.#failures += 1
  }

  succeeded(): void {
    this.#failures = 0
  }
}
