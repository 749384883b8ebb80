import { LRUCache } from 'lru-cache'
import type { Entry } from './codec.ts'

export interface MemoryEntry extends Entry {
  enteredAtMs: number
  /** The bus session during which its tags were last known to be current; undefined: to be asked again. */
  verifiedIn: number | undefined
}

const OVERHEAD_BYTES = 300

/** The least recently used leave first, by count and by bytes. Freshness is the caller's to judge. */
export class MemoryLayer {
  readonly #entries: LRUCache<string, MemoryEntry>

  constructor(bounds: { maxItems: number; maxBytes: number }) {
    this.#entries = new LRUCache({ max: bounds.maxItems, maxSize: bounds.maxBytes })
  }

  get(key: string): MemoryEntry | undefined {
    return this.#entries.get(key)
  }

  /** `bytes`: the length of the value's JSON, near enough to what it takes. One larger than the whole layer is not kept. */
  set(key: string, entry: MemoryEntry, bytes: number): void {
    this.#entries.set(key, entry, { size: bytes + key.length + OVERHEAD_BYTES })
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  deleteWhere(predicate: (entry: MemoryEntry) => boolean): void {
    for (const [key, entry] of this.#entries.entries()) if (predicate(entry)) this.#entries.delete(key)
  }

  counts(): { memory: number; memoryBytes: number } {
    return { memory: this.#entries.size, memoryBytes: this.#entries.calculatedSize }
  }
}
