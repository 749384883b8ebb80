import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'

/** Redis could not be asked. As a tag's generation: valid only while the tag was never invalidated. */
const UNKNOWN = '?'
const ABSENT = ''
const MAX_REMEMBERED = 10_000

/** What Redis says of invalidations. */
export interface Invalidations {
  /**
   * `<run_id>:<id>`: one life of this record. Redis may evict the record or lose it in a restart, and with it what was
   * invalidated; the next one has another name.
   */
  incarnation: string
  /** The generation of each requested tag that has one. */
  generations: Record<string, string>
}

/**
 * Invalidation without clocks: invalidating a tag gives it a new generation, and an entry lives while each of its tags still
 * has the generation it had when the entry's production began. An absent generation invalidates nothing, as long as the
 * record of generations is the one that the entry was made under.
 */
export class TagGenerations {
  /** The invalidations heard of, so that what was produced before one is not stored after it. */
  readonly #heard = new LRUCache<string, string>({ max: MAX_REMEMBERED })
  #incarnation = UNKNOWN
  #changes = 0

  /** Changes with every invalidation that is heard. */
  get changes(): number {
    return this.#changes
  }

  /** A new generation for each tag. */
  renew(tags: string[]): Record<string, string> {
    return Object.fromEntries(tags.map((tag) => [tag, randomUUID()]))
  }

  /** False when all of it was known. */
  hear(generations: Record<string, string>): boolean {
    const news = Object.entries(generations).filter(([tag, generation]) => this.#heard.get(tag) !== generation)
    for (const [tag, generation] of news) this.#heard.set(tag, generation)
    if (news.length > 0) this.#changes++
    return news.length > 0
  }

  /**
   * Takes over what Redis says, unless an invalidation was heard since the question (`changesBefore`): then it is newer.
   * Returns the generations that a new record lacks: Redis has lost them.
   */
  learn({ incarnation, generations }: Invalidations, changesBefore: number): Record<string, string> {
    const hasLost = this.#incarnation !== UNKNOWN && this.#incarnation !== incarnation
    this.#incarnation = incarnation
    if (this.#changes === changesBefore) this.hear(generations)
    return hasLost ? Object.fromEntries(this.#heard.entries()) : {}
  }

  /** For a production that begins now; `told` is Redis's answer, undefined when it gave none. */
  atStart(tags: string[], told: Invalidations | undefined): Invalidations {
    const otherwise = told === undefined ? UNKNOWN : ABSENT
    const generationOf = (tag: string) => told?.generations[tag] ?? this.#heard.get(tag) ?? otherwise
    const generations = Object.fromEntries(tags.map((tag) => [tag, generationOf(tag)]))
    return { incarnation: told?.incarnation ?? this.#incarnation, generations }
  }

  /** True while no tag was invalidated since, as far as this process has heard. */
  isCurrent(generations: Record<string, string>): boolean {
    return Object.entries(generations).every(([tag, generation]) => (this.#heard.get(tag) ?? generation) === generation)
  }
}

/** True when no generation that Redis has invalidates the entry's. */
export function isValid(generations: Record<string, string>, told: Record<string, string>): boolean {
  return Object.entries(generations).every(([tag, generation]) => (told[tag] ?? generation) === generation)
}

/** True when Redis lost the older record without a restart, or that cannot be told. */
export function isEvicted(older: string, newer: string): boolean {
  return older !== newer && runOf(older) === runOf(newer)
}

function runOf(incarnation: string): string | undefined {
  return incarnation.split(':')[0]
}
