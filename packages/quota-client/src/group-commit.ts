import { type Amount, bucketsPerWindow } from './account.ts'
import { unlimited } from './ceilings.ts'
import type { FleetLink, LinkSettings } from './fleet-link.ts'
import { Group, type Waiting } from './group.ts'
import { outcomesOf } from './outcomes.ts'
import type { RefusalMemory } from './refusal-memory.ts'
import type { Reply } from './scripts.ts'
import type { Settling } from './settling.ts'
import { decideAlone, giveBackShare, keepToShare } from './share-decisions.ts'
import type { Answer, Ask, Shortfall, Taken } from './store.ts'
import type { QuotaLimits } from './types.ts'

/** A call costs Redis about as much as deciding for so many. */
const leastToGoAhead = 16

interface Parts {
  link: FleetLink
  settling: Settling
  memory: RefusalMemory
  settings: LinkSettings
}

/** Sends the reservations of one turn of the event loop as one call, and sees that each has an answer in time. */
export class GroupCommit {
  readonly #link: FleetLink
  readonly #settling: Settling
  readonly #memory: RefusalMemory
  readonly #settings: LinkSettings
  readonly #terms: string
  #groups = new Map<string | undefined, Group>()
  readonly #inFlight = new Set<Promise<void>>()
  /** Calls that Redis has not answered. */
  #unanswered = 0
  /**
   * Those who are answered together often ask again together: half of them go ahead as a call of their own, so that Redis
   * decides while the others still ask.
   */
  #enoughToGoAhead = Number.POSITIVE_INFINITY
  #attended = false

  constructor({ link, settling, memory, settings }: Parts) {
    this.#link = link
    this.#settling = settling
    this.#memory = memory
    this.#settings = settings
    this.#terms = `${settings.windowMs},${settings.safetyMargin},${textOfLimits(settings.limits)},`
  }

  /** Until all that were asked have their answers. */
  async idle(): Promise<void> {
    await Promise.all(this.#inFlight)
  }

  /** Takes a reservation into the call that goes out when this turn of the event loop ends. */
  add(ask: Ask, answer: Answer): void {
    const { tenant } = ask
    if (this.#groups.size === 0) process.nextTick(() => this.#commitAll())
    // Two limits for one tenant in one turn would be two questions: each gets its own group.
    const key = tenant && `${textOfLimits(tenant.limits)} ${tenant.id}`
    let group = this.#groups.get(key)
    if (group === undefined) {
      group = new Group(tenant)
      this.#groups.set(key, group)
    }
    group.add({ ask, shareCharge: undefined, answer })
    if (this.#unanswered > 0 || group.waiting.length < this.#enoughToGoAhead) return
    this.#groups.delete(key)
    this.#track(this.#commit(group))
  }

  #commitAll(): void {
    const groups = this.#groups
    this.#groups = new Map()
    for (const group of groups.values()) this.#track(this.#commit(group))
    if (this.#attended) return
    this.#attended = true
    this.#track(this.#link.attend())
  }

  /** Resolves when all of the group have their answer: Redis's, or this instance's when Redis takes too long. */
  #commit(group: Group): Promise<void> {
    const { answerWithinMs } = this.#settings
    return new Promise((resolve) => {
      const late = () => {
        this.#answerAlone(group, new Error(`Redis did not answer within ${answerWithinMs} ms`))
        resolve()
      }
      // After a busy event loop the answer may be there and not yet read: it is before an immediate runs.
      const timer = setTimeout(() => setImmediate(late), answerWithinMs)
      const done = () => {
        clearTimeout(timer)
        resolve()
      }
      const failed = (error: unknown) => {
        this.#answerAlone(group, error)
        done()
      }
      this.#askUntilDecided(group).then(done, failed)
    })
  }

  async #askUntilDecided(group: Group): Promise<void> {
    const link = this.#link
    for (let attempt = 0; attempt < 3; attempt++) {
      if (!link.isReady) await link.ready()
      if (link.mustReport) await link.rejoin()
      const epoch = link.state?.epoch
      if (group.answered || (await this.#ask(group))) return
      if (link.state?.epoch === epoch) await link.report() // unless an earlier answer has led to that already
    }
    throw new Error('the shared state was lost again and again')
  }

  /** One call for the whole group. False when this instance has to report first. */
  async #ask(group: Group): Promise<boolean> {
    const link = this.#link
    keepToShare(link, group)
    if (group.waiting.length === 0) return true
    const { tenant, requests, tokens } = group
    const { gate, books } = link
    const shut = gate.shut(link.nowMs())
    const probeOf = shut === undefined ? gate.pass(link.nowMs()) : undefined
    const { text, lengths } = group.runs()
    const tenantLedger = tenant && books.tenant(tenant.id)
    const corrections = group.take(books.pool)
    try {
      const reply = await this.#untilAnswered(
        link.scripts.reserve({
          epoch: link.state?.epoch ?? 0,
          seen: link.state?.writes ?? 0,
          terms: this.#terms + link.dayEndsText(),
          tenant: tenant &&
            tenantLedger && {
              key: link.scripts.tenantKey(tenant.id),
              limits: textOfLimits(tenant.limits),
              corrections: group.take(tenantLedger),
            },
          hasBatch: group.hasBatch,
          runs: text,
          requests,
          tokens,
          passedMs: shut === undefined ? gate.passedMs : -shut.retryAfterMs,
          fairPart: link.state ? link.attendance.fairPart(link.state, this.#settings.elapsed()) : '',
          corrections,
          once: this.#settling.nextOnce(),
        }),
      )
      if (group.answered) return true // too late: what was granted stays charged and is used by nobody
      if (!reply.decided) {
        group.unload('notMade')
        this.#settling.soon()
        if (probeOf !== undefined) gate.probed(probeOf, false)
        return false
      }
      link.learn(reply, tenant?.id)
      link.breaker.succeeded()
      this.#answer(group, { reply, lengths, probeOf })
      return true
    } catch (error) {
      if (probeOf !== undefined) gate.probed(probeOf, false)
      throw error
    }
  }

  async #untilAnswered(call: Promise<Reply>): Promise<Reply> {
    this.#unanswered += 1
    try {
      return await call
    } finally {
      this.#unanswered -= 1
    }
  }

  #answer(
    group: Group,
    { reply, lengths, probeOf }: { reply: Reply; lengths: number[]; probeOf: number | undefined },
  ): void {
    const link = this.#link
    const { state } = reply
    if (state === null) throw new Error('reserve.lua always answers with a state')
    group.answered = true
    this.#enoughToGoAhead = Math.max(leastToGoAhead, group.waiting.length / 2)
    const taken: Amount = { requests: 0, tokens: 0 }
    const charge = { bucket: state.bucket, dayEndMs: state.dayEndMs, tenant: group.tenant, report: 0 }
    let probe = probeOf
    const plain: Taken = { granted: true, degraded: false, charge }
    const outcomes = outcomesOf(reply, state, lengths)
    if (outcomes.some(({ granted }) => granted > 0)) this.#memory.clear() // what is refused now waits for more to leave
    let at = 0
    for (const { length, granted, refused } of outcomes) {
      for (const end = at + granted; at < end; at++) {
        const waiting = group.waiting[at] as Waiting
        if (taken.requests === 0) probe ??= link.gate.pass(reply.nowMs) // a pause this instance had not heard of
        taken.requests += waiting.ask.requests
        taken.tokens += waiting.ask.tokens
        waiting.answer(probe === undefined ? plain : { ...plain, probeOfPauseMs: probe })
        probe = undefined
      }
      for (const end = at + length - granted; at < end; at++)
        if (refused !== undefined) this.#refuse(group.waiting[at] as Waiting, refused, reply)
    }
    if (probe !== undefined) link.gate.probed(probe, false)
    if (taken.requests === 0) return
    link.books.pool.granted(charge.bucket, taken)
    if (group.tenant) link.books.tenant(group.tenant.id).granted(charge.bucket, taken)
    link.attendance.granted(charge.bucket, taken, this.#settings.elapsed())
  }

  #refuse(waiting: Waiting, refused: Shortfall, { state, nowMs }: Reply): void {
    const { ask, answer } = waiting
    giveBackShare(this.#link, waiting)
    const bucketMs = this.#settings.windowMs / bucketsPerWindow
    const left = ((state?.bucket ?? 0) + 1) * bucketMs - nowMs
    this.#memory.keep(ask, refused, { nowMs: this.#settings.elapsed(), bucketLeftMs: Math.min(bucketMs, left) })
    if (refused.reason === 'spent') this.#link.attendance.refused()
    answer(refused)
  }

  #answerAlone(group: Group, cause: unknown): void {
    if (group.answered) return
    group.answered = true
    group.unload('lost')
    this.#link.fault(cause)
    this.#settling.later()
    for (const waiting of group.waiting) {
      giveBackShare(this.#link, waiting)
      waiting.answer(decideAlone(this.#link, waiting.ask))
    }
  }

  #track(work: Promise<void>): void {
    this.#inFlight.add(work)
    void work.finally(() => this.#inFlight.delete(work))
  }
}

function textOfLimits(limits: Partial<QuotaLimits>): string {
  const { rpm = unlimited, rpd = unlimited, tpm = unlimited, tpd = unlimited } = limits
  return `${rpm},${rpd},${tpm},${tpd}`
}
