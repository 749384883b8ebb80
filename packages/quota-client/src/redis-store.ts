import type { Cluster, Redis } from 'ioredis'
import type { Amount } from './account.ts'
import { FleetLink, type LinkSettings } from './fleet-link.ts'
import { pauseKind } from './fleet-state.ts'
import { GroupCommit } from './group-commit.ts'
import { pauseLength } from './pause-length.ts'
import { RefusalMemory } from './refusal-memory.ts'
import type { Reply } from './scripts.ts'
import { Settling } from './settling.ts'
import { decideAlone } from './share-decisions.ts'
import type { Answer, Ask, Store, StoredCharge } from './store.ts'
import type { PauseRequest, QuotaUsage } from './types.ts'
import { usageOfAccount, usageOfReply } from './usage-of.ts'

/** Use kept in Redis for a fleet; decided here, within this instance's share, while Redis cannot be asked. */
export class RedisStore implements Store {
  readonly #link: FleetLink
  readonly #settings: LinkSettings
  readonly #memory = new RefusalMemory()
  readonly #settling: Settling
  readonly #commit: GroupCommit
  #closed = false

  constructor(redis: Redis | Cluster, settings: LinkSettings) {
    this.#settings = settings
    this.#link = new FleetLink(redis, settings)
    this.#settling = new Settling(this.#link, redis, settings.windowMs)
    this.#commit = new GroupCommit({ link: this.#link, settling: this.#settling, memory: this.#memory, settings })
  }

  decide(ask: Ask, answer: Answer): void {
    if (this.#closed) throw new Error('this quota client was closed')
    const link = this.#link
    if (!link.attendance.started) link.attendance.start()
    if (link.breaker.isOpen) answer(decideAlone(link, ask))
    else if (!this.#recall(ask, answer)) this.#commit.add(ask, answer)
  }

  adjust(charge: StoredCharge, by: Amount): void {
    const { books, alone } = this.#link
    books.pool.correct(charge, by)
    if (charge.tenant !== undefined) books.tenant(charge.tenant.id).correct(charge, by)
    if (charge.report > 0) alone?.adjust(charge, by)
    if (by.requests < 0 || by.tokens < 0) this.#memory.clear()
    this.#settling.soon()
  }

  probed(pauseEndMs: number, passed: boolean): void {
    this.#link.gate.probed(pauseEndMs, passed)
    this.#memory.clear()
  }

  async pause(request: PauseRequest): Promise<void> {
    const link = this.#link
    const { windowMs } = this.#settings
    const dayEnds = link.dayEnds()
    const nowMs = link.nowMs()
    const dayEndMs = dayEnds.find((end) => end > nowMs) ?? dayEnds[1]
    link.gate.learn(pauseLength(request, { nowMs, dayEndMs, windowMs }).pause)
    this.#memory.clear()
    if (link.breaker.isOpen) return
    try {
      await link.ready()
      const kind = pauseKind(request.limitType)
      const call = { windowMs, dayEnds: link.dayEndsText(), kind, untilMs: request.untilMs ?? 0 }
      let reply = await link.within(link.scripts.pause(call))
      if (!reply.decided) {
        await link.report() // and makes a state, in which the limits can shrink
        reply = await link.within(link.scripts.pause(call))
      }
      if (reply.state !== null) link.gate.learn(reply.state.pause)
    } catch (error) {
      link.fault(error) // the gate knows the pause; the report carries it to the fleet
    }
  }

  async usage(): Promise<QuotaUsage> {
    const link = this.#link
    if (!link.breaker.isOpen) {
      try {
        await link.ready()
        const { windowMs } = this.#settings
        void this.#settling.all() // goes ahead on the same connection: own refunds are seen
        const reply = await link.within(link.scripts.usage({ windowMs, dayEnds: link.dayEndsText() }))
        link.showed(reply)
        return this.#sharedUsage(reply)
      } catch (error) {
        link.fault(error)
      }
    }
    return this.#localUsage()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#commit.idle()
    await this.#settling.close()
    this.#link.close()
  }

  #recall(ask: Ask, answer: Answer): boolean {
    const remembered = this.#memory.recall(ask, this.#settings.elapsed)
    if (remembered === undefined) return false
    if (remembered.reason === 'spent') this.#link.attendance.refused()
    answer(remembered)
    return true
  }

  #sharedUsage(reply: Reply): QuotaUsage {
    const { state } = reply
    if (state === null) throw new Error('usage.lua always answers with a state')
    return {
      ...usageOfReply(reply, this.#settings.limits, this.#settings.windowMs),
      pause: state.pause.untilMs > reply.nowMs ? state.pause : null,
      degraded: this.#link.alone !== undefined,
      instances: state.instances,
    }
  }

  #localUsage(): QuotaUsage {
    const link = this.#link
    const nowMs = link.nowMs()
    const { pause } = link.gate
    return {
      ...usageOfAccount(link.localView(nowMs), this.#settings.limits, nowMs),
      pause: pause.untilMs > nowMs ? pause : null,
      degraded: true,
      instances: link.state?.instances ?? this.#settings.assumedInstances,
    }
  }
}
