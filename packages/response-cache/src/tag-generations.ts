import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'

/** A tag's generation could not be asked: an entry that holds it is valid only while the tag was never invalidated. */
const UNKNOWN = '?'
const ABSENT = ''
const MAX_REMEMBERED = 10_000

/**
 * Invalidation without clocks: invalidating a tag gives it a new generation, and an entry lives while each of its tags still
 * has the generation it had when the entry's production began. An absent generation invalidates nothing: in Redis a
 * generation outlives every entry that is older than it.
 */
export class TagGenerations {
  /** The invalidations heard of, so that what was produced before one is not stored after it. */
  readonly #heard = new LRUCache<string, string>({ max: MAX_REMEMBERED })

  /** A new generation for each tag. */
  renew(tags: string[]): Record<string, string> {
    return Object.fromEntries(tags.map((tag) => [tag, randomUUID()]))
  }

  hear(generations: Record<string, string>): void {
    for (const [tag, generation] of Object.entries(generations)) this.#heard.set(tag, generation)
  }

  /** For a production that begins now; `asked` is Redis's answer, undefined when it gave none. */
  atStart(tags: string[], asked: Record<string, string> | undefined): Record<string, string> {
    const otherwise = asked === undefined ? UNKNOWN : ABSENT
    return Object.fromEntries(tags.map((tag) => [tag, asked?.[tag] ?? this.#heard.get(tag) ?? otherwise]))
  }

  /** True while no tag was invalidated since, as far as this process has heard. */
  isCurrent(generations: Record<string, string>): boolean {
    return Object.entries(generations).every(([tag, generation]) => (this.#heard.get(tag) ?? generation) === generation)
  }
}

/** True when Redis's answer (absent tags left out) invalidates none of the generations. */
export function isValid(generations: Record<string, string>, asked: Record<string, string>): boolean {
  return Object.entries(generations).every(([tag, generation]) => (asked[tag] ?? generation) === generation)
}
