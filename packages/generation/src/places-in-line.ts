import type { BudgetClient } from './client-budget.ts'
import { Semaphore } from './semaphore.ts'

/** Calls in line at a time, so that learners take turns: of a request, of a client, of an address. */
export const mostPlaces = { request: 3, client: 8, address: 100 }

/** Whose places a call takes. */
export interface PlaceOwner {
  name: string | object
  most: number
}

interface Places {
  semaphore: Semaphore
  /** When the calls start that have one, by the clock of `performance.now()`. */
  startsMs: Map<object, number>
}

/** The places in line of one instance's calls, by their owners. */
export class PlacesInLine {
  readonly #taken = new Map<PlaceOwner['name'], Places>()

  /** The owners for a new request: itself, its client, all clients of its address. */
  ownersFor(client: BudgetClient | undefined): PlaceOwner[] {
    const owners: PlaceOwner[] = [{ name: {}, most: mostPlaces.request }]
    if (client) owners.push({ name: client.id, most: mostPlaces.client })
    if (client?.address !== undefined) owners.push({ name: `all of ${client.address}`, most: mostPlaces.address })
    return owners
  }

  /** How many clients have a call in line. */
  get clients(): number {
    let count = 0
    for (const { semaphore } of this.#taken.values()) if (semaphore.capacity === mostPlaces.client) count++
    return count
  }

  /** Takes a place, if the owner has one to spare. */
  tryTake({ name, most }: PlaceOwner, call: object): boolean {
    let places = this.#taken.get(name)
    if (places === undefined) {
      places = { semaphore: new Semaphore(most), startsMs: new Map() }
      this.#taken.set(name, places)
    }
    if (!places.semaphore.tryAcquire(1)) return false
    places.startsMs.set(call, performance.now())
    return true
  }

  /** Waits for the place of a call that starts or leaves. Rejects with the signal's reason. */
  async take({ name }: PlaceOwner, call: object, signal: AbortSignal): Promise<void> {
    const places = this.#taken.get(name)
    await places?.semaphore.acquire(1, signal)
    places?.startsMs.set(call, performance.now())
  }

  /** When the call starts that has one of the owner's places. */
  note({ name }: PlaceOwner, call: object, startsMs: number): void {
    this.#taken.get(name)?.startsMs.set(call, startsMs)
  }

  /** When the last of the owner's calls starts that have a place. */
  lastStartMs({ name }: PlaceOwner): number {
    return Math.max(0, ...(this.#taken.get(name)?.startsMs.values() ?? []))
  }

  release({ name }: PlaceOwner, call: object): void {
    const places = this.#taken.get(name)
    places?.startsMs.delete(call)
    places?.semaphore.release(1)
    if (places?.semaphore.held === 0) this.#taken.delete(name)
  }
}
