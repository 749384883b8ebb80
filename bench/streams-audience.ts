import { setTimeout as sleep } from 'node:timers/promises'
import { type Client, createClient, KnowAllEdgeError } from '@knowalledge/client'

/** Clients that open their streams at the same time: a gateway takes 256 requests that have no head of an answer yet. */
const openingAtOnce = 50
const level = { educationLevel: 'high school', levelOfDetail: 'normal' }

interface Learner {
  client: Client
  topic: string
  focus: string[]
  /** The explanations that have come. */
  items: Set<number>
  inLine: PromiseWithResolvers<void>
}

/** Learners with a presentation each. One whose stream is cut, or brings an error, asks again until all has come. */
export class Audience {
  readonly #learners: Learner[]
  readonly #explanations: number
  readonly #leaving = new AbortController()
  readonly #ends: Promise<void>[] = []
  readonly #unexpected: unknown[] = []
  #cut = 0
  #foundAgain = 0

  constructor(url: string, { streams, explanations, topic }: { streams: number; explanations: number; topic: string }) {
    this.#explanations = explanations
    this.#learners = Array.from({ length: streams }, (_, n) => ({
      client: clientOf(url, `10.1.${Math.floor(n / 250)}.${(n % 250) + 1}`),
      topic: `${topic} ${n}`,
      focus: Array.from({ length: explanations }, (_, at) => `Part ${at} of ${topic} ${n}`),
      items: new Set<number>(),
      inLine: Promise.withResolvers<void>(),
    }))
    for (const { inLine } of this.#learners) inLine.promise.catch(() => {}) // thrown by lineUp
  }

  /** Resolves when each has been told its place. */
  async lineUp(): Promise<void> {
    for (let from = 0; from < this.#learners.length; from += openingAtOnce) {
      const opening = this.#learners.slice(from, from + openingAtOnce)
      this.#ends.push(...opening.map((learner) => this.#learn(learner)))
      await Promise.all(opening.map(({ inLine }) => inLine.promise))
    }
  }

  /** Resolves when such a part of all explanations has come. */
  async hasItems(part: number): Promise<void> {
    const all = this.#learners.length * this.#explanations
    const come = () => this.#learners.reduce((sum, { items }) => sum + items.size, 0)
    while (come() < part * all) {
      if (this.#unexpected.length > 0) throw this.#unexpected[0]
      await sleep(100)
    }
  }

  async leave(): Promise<void> {
    this.#leaving.abort(new Error('left'))
    await Promise.allSettled(this.#ends)
  }

  /** Streams that ended before all had come, and explanations that a stream found in the cache. */
  outcome(): { cut: number; foundAgain: number } {
    return { cut: this.#cut, foundAgain: this.#foundAgain }
  }

  async #learn(learner: Learner): Promise<void> {
    const { signal } = this.#leaving
    while (learner.items.size < this.#explanations) {
      let waitMs = 1_000
      try {
        await this.#ask(learner)
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof KnowAllEdgeError)) this.#unexpected.push(error)
        waitMs = (error as KnowAllEdgeError).retryAfterMs ?? waitMs
      }
      learner.inLine.reject(new Error('a stream that did not wait'))
      if (learner.items.size === this.#explanations) return
      this.#cut++
      await sleep(waitMs)
    }
  }

  async #ask({ client, topic, focus, items, inLine }: Learner): Promise<void> {
    const { signal } = this.#leaving
    for await (const { event, data } of client.stream('create_presentation', { topic, focus, ...level }, { signal })) {
      if (event === 'waiting') inLine.resolve()
      if (event !== 'item' || data.error !== null) continue
      items.add(data.index)
      if (data.cached) this.#foundAgain++
    }
  }
}

function clientOf(baseUrl: string, address: string): Client {
  return createClient({
    baseUrl,
    fetch: (input, init) =>
      fetch(input, { ...init, headers: { ...(init?.headers as object), 'x-forwarded-for': address } }),
  })
}
