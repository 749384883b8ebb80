import type { Priority, QuotaClient } from '@knowalledge/quota-client'
import type { App, ProcessSnapshot } from '@knowalledge/service-kit'
import { LRUCache } from 'lru-cache'
import { withOwn } from './pools.ts'
import type { Generation, RunContext } from './types.ts'

/** A call that is in line for the quota. */
export interface WaitingCall {
  /** The id of a `BudgetClient`. */
  client: string
  priority: Priority
  waitedMs: number
  startsInMs: number
  position: number
}

/** What a client has used since this instance started. */
export interface ClientUse {
  client: string
  questions: number
  /** Questions that were refused or failed. */
  failed: number
  geminiCalls: number
  tokens: number
  /** Milliseconds since the epoch. */
  lastAtMs: number
}

/** What `GET /api/ops/snapshot` of a service answers. */
export interface ServiceSnapshot extends ProcessSnapshot {
  waiting: WaitingCall[]
  clients: ClientUse[]
}

const maxClients = 500
const shownClients = 20
const shownCalls = 20

/** Who waits and who uses what, in this process, for the operations page. */
export class Activity {
  readonly #inLine = new Set<WaitingCall & { sinceMs: number }>()
  readonly #clients = new LRUCache<string, ClientUse>({ max: maxClients })

  /** The same quota; its calls in line are seen here. */
  watchLine(quota: QuotaClient): QuotaClient {
    return withOwn(quota, {
      reserve: async (request) => {
        if (!request.maxWaitMs) return await quota.reserve(request)
        const { priority, client = 'unknown', onWaiting } = request
        const call = { client, priority, waitedMs: 0, startsInMs: 0, position: 0, sinceMs: performance.now() }
        try {
          return await quota.reserve({
            ...request,
            onWaiting: (place) => {
              this.#inLine.add(Object.assign(call, place))
              onWaiting?.(place)
            },
          })
        } finally {
          this.#inLine.delete(call)
        }
      },
    })
  }

  /** The same generation; what its clients use is counted here. */
  countUse(generation: Generation): Generation {
    return {
      run: (spec, context) => this.#counted(context, 1, () => generation.run(spec, context)),
      runAll: (specs, context, onSettled) =>
        this.#counted(context, specs.length, (failed) =>
          generation.runAll(specs, context, (settled, index) => {
            if (settled.status === 'rejected') failed(1)
            onSettled?.(settled, index)
          }),
        ),
    }
  }

  snapshot(): Pick<ServiceSnapshot, 'waiting' | 'clients'> {
    const nowMs = performance.now()
    const waiting = [...this.#inLine].map(({ sinceMs, ...call }) => ({ ...call, waitedMs: nowMs - sinceMs }))
    return {
      waiting: waiting.sort((a, b) => b.waitedMs - a.waitedMs).slice(0, shownCalls),
      clients: [...this.#clients.values()].sort(byUse).slice(0, shownClients),
    }
  }

  async #counted<T>(
    { client, outcome }: RunContext,
    questions: number,
    work: (failed: (count: number) => void) => Promise<T>,
  ): Promise<T> {
    const { gemini_calls: callsBefore = 0, tokens: tokensBefore = 0 } = outcome
    const use = this.#useOf(client?.id ?? 'unknown')
    use.questions += questions
    const failed = (count: number) => {
      use.failed += count
    }
    try {
      return await work(failed)
    } catch (error) {
      failed(questions)
      throw error
    } finally {
      use.geminiCalls += (outcome.gemini_calls ?? 0) - callsBefore
      use.tokens += (outcome.tokens ?? 0) - tokensBefore
    }
  }

  #useOf(client: string): ClientUse {
    const none = { client, questions: 0, failed: 0, geminiCalls: 0, tokens: 0 }
    const use = Object.assign(this.#clients.get(client) ?? none, { lastAtMs: Date.now() })
    this.#clients.set(client, use)
    return use
  }
}

/** Most tokens first. */
export function byUse(a: ClientUse, b: ClientUse): number {
  return b.tokens - a.tokens || b.questions - a.questions
}

/** `GET /api/ops/snapshot`, for the gateway: how this process is, who waits and who uses what. */
export function serveSnapshot(app: App, activity: Activity, read: () => Promise<ProcessSnapshot>): void {
  app.get('/api/ops/snapshot', { config: { endpoint: 'ops', quiet: true }, schema: { hide: true } }, async () => ({
    ...(await read()),
    ...activity.snapshot(),
  }))
}
