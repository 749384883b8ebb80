import type { FleetLink, LinkSettings } from './fleet-link.ts'
import { pauseKind } from './fleet-state.ts'
import type { Ledger } from './ledger.ts'
import type { Reply } from './scripts.ts'

/**
 * How long those who find no state wait before they take from a new one: Redis may have lost one, and who knew it is back
 * by then. A connection is tried again within 500 ms (redis-options.ts), Redis every 250 ms.
 */
export const newcomersWaitMs = 1_000

/** Posts what an instance used: of the pool first, then of each tenant. */
export class Posting {
  readonly #link: FleetLink
  readonly #id: string
  readonly #settings: LinkSettings
  /** A state was lost, and not all tenants' use has been put back into its successor. */
  #tenantsOwe = false

  constructor(link: FleetLink, { id, settings }: { id: string; settings: LinkSettings }) {
    this.#link = link
    this.#id = id
    this.#settings = settings
  }

  /**
   * Posts what was used until now. `heardByMs` is Redis's time since which another instance must have been heard to show
   * that Redis was there for the others; negative when that is known.
   */
  async post(heardByMs: number): Promise<void> {
    const link = this.#link
    const { windowMs } = this.#settings
    const { nowMs: saidAtMs } = await link.within(link.scripts.usage({ windowMs, dayEnds: link.dayEndsText() }))
    const known = link.state
    const number = link.books.nextReport++
    const { usedBefore, usedAlone } = link.books.pool.beginReport(number, link.bucket())
    let reply: Reply
    try {
      reply = await link.within(
        link.scripts.report({
          id: this.#id,
          windowMs,
          dayEnds: link.dayEndsText(),
          birth: known?.birth ?? 0,
          epoch: known?.epoch ?? 0,
          seen: known?.writes ?? 0,
          heardByMs,
          instances: Math.max(1, known?.instances ?? this.#settings.assumedInstances),
          lastDay: known === undefined ? '0,0,0' : `${known.dayEndMs},${known.day.requests},${known.day.tokens}`,
          usedBefore,
          usedAlone,
          saidAtMs,
          lateAfterMs: 2 * this.#settings.answerWithinMs,
          newcomersWaitMs,
          pause: { untilMs: link.gate.pause.untilMs, kind: pauseKind(link.gate.pause.limitType) },
        }),
      )
    } catch (error) {
      link.books.pool.notPosted()
      link.reportedPerhaps()
      throw error
    }
    const lost = reply.state?.birth !== known?.birth
    link.books.pool.posted(lost)
    this.#tenantsOwe ||= lost
    link.learn(reply)
    await this.#postTenants(number)
  }

  async #postTenants(number: number): Promise<void> {
    const posts = [...this.#link.books.tenants].map(([id, ledger]) => this.#postTenant(id, { ledger, number }))
    const outcomes = await Promise.allSettled(posts)
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure !== undefined) throw failure.reason
    this.#tenantsOwe = false
  }

  async #postTenant(id: string, { ledger, number }: { ledger: Ledger; number: number }): Promise<void> {
    const link = this.#link
    const { usedBefore, usedAlone } = ledger.beginReport(number, link.bucket())
    const used = (this.#tenantsOwe ? usedBefore : '') + usedAlone
    const { windowMs } = this.#settings
    try {
      const tenantKey = link.scripts.tenantKey(id)
      await link.within(link.scripts.reportTenant({ windowMs, dayEnds: link.dayEndsText(), tenantKey, used }))
      ledger.posted(this.#tenantsOwe)
    } catch (error) {
      ledger.notPosted()
      throw error
    }
  }
}
