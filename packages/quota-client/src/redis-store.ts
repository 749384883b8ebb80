import { randomUUID } from 'node:crypto'
import type { Cluster, Redis, RedisOptions } from 'ioredis'
import { type Amount, bucketsPerWindow, type Charge } from './account.ts'
import { unlimited } from './ceilings.ts'
import { FleetLink, type LinkSettings, within } from './fleet-link.ts'
import { pauseKind } from './fleet-state.ts'
import { Group, type Waiting } from './group.ts'
import type { Ledger } from './ledger.ts'
import { outcomesOf } from './outcomes.ts'
import { pauseLength } from './pause-length.ts'
import { answerWithinMs } from './redis-options.ts'
import { RefusalMemory } from './refusal-memory.ts'
import type { Reply } from './scripts.ts'
import type { Ask, Shortfall, Store, StoredCharge, Taken } from './store.ts'
import type { PauseRequest, QuotaLimits, QuotaUsage } from './types.ts'
import { usageOfAccount, usageOfReply } from './usage-of.ts'

/** How long a refund or an overrun waits for a reservation to ride on, in milliseconds. */
const settleAfterMs = 20
const settleAgainMs = 250

/** Use kept in Redis for a fleet; decided here, within this instance's share, while Redis cannot be asked. */
export class RedisStore implements Store {
  readonly #link: FleetLink
  readonly #settings: LinkSettings
  readonly #memory = new RefusalMemory()
  readonly #limits: string
  readonly #onceId: string
  #onceNumber = 0
  #groups = new Map<string | undefined, Group>()
  #settleTimer: NodeJS.Timeout | undefined
  readonly #inFlight = new Set<Promise<void>>()
  #closed = false
  #attended = false

  constructor(redis: Redis | Cluster, settings: LinkSettings) {
    this.#settings = settings
    this.#link = new FleetLink(redis, settings)
    this.#limits = textOfLimits(settings.limits)
    this.#onceId = mayResend(redis) ? randomUUID() : ''
  }

  decide(ask: Ask): Promise<Taken | Shortfall> {
    if (this.#closed) return Promise.reject(new Error('this quota client was closed'))
    const link = this.#link
    if (!link.attendance.started) link.attendance.start()
    if (link.breaker.isOpen) return Promise.resolve(this.#decideAlone(ask))
    const nowMs = link.nowMs()
    const beyondShare = link.mustReport ? undefined : link.alone?.refusal(ask, nowMs)
    if (beyondShare !== undefined) return Promise.resolve({ ...beyondShare, granted: false, degraded: true })
    const remembered = this.#memory.recall(ask, this.#settings.elapsed())
    if (remembered !== undefined) {
      if (remembered.reason === 'spent') link.attendance.refused()
      return Promise.resolve(remembered)
    }
    const shareCharge = link.mustReport ? undefined : link.alone?.charge(ask, nowMs)
    return new Promise((answer) => this.#enqueue({ ask, shareCharge, answer }))
  }

  adjust(charge: StoredCharge, by: Amount): void {
    const { books, alone } = this.#link
    books.pool.correct(charge, by)
    if (charge.tenant !== undefined) books.tenant(charge.tenant.id).correct(charge, by)
    if (charge.report > 0) alone?.adjust(charge, by)
    if (by.requests < 0 || by.tokens < 0) this.#memory.clear()
    this.#settleSoon()
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
    if (link.breaker.isOpen) return
    try {
      await link.ready()
      const kind = pauseKind(request.limitType)
      const call = { windowMs, dayEnds: dayEnds.join(), kind, untilMs: request.untilMs ?? 0 }
      const reply = await within(link.scripts.pause(call))
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
        this.#track(this.#settleAll()) // goes ahead on the same connection: own refunds are seen
        const reply = await within(link.scripts.usage({ windowMs, dayEnds: link.dayEnds().join() }))
        return this.#sharedUsage(reply)
      } catch (error) {
        link.fault(error)
      }
    }
    return this.#localUsage()
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#settleTimer)
    await Promise.all(this.#inFlight)
    await this.#settleAll()
    this.#link.close()
  }

  #enqueue(waiting: Waiting): void {
    const { tenant } = waiting.ask
    if (this.#groups.size === 0) process.nextTick(() => this.#commitAll())
    // Two limits for one tenant in one turn would be two questions: each gets its own group.
    const key = tenant && `${textOfLimits(tenant.limits)} ${tenant.id}`
    let group = this.#groups.get(key)
    if (group === undefined) {
      group = new Group(tenant)
      this.#groups.set(key, group)
    }
    group.add(waiting)
  }

  #commitAll(): void {
    const groups = this.#groups
    this.#groups = new Map()
    for (const group of groups.values()) this.#track(this.#commit(group))
    if (this.#attended) return
    this.#attended = true
    this.#track(this.#link.attend())
  }

  /** Resolves when all of the group have their answer: Redis's, or this instance's after 50 ms. */
  #commit(group: Group): Promise<void> {
    return new Promise((resolve) => {
      const late = new Error(`Redis did not answer within ${answerWithinMs} ms`)
      const timer = setTimeout(() => resolve(this.#answerAlone(group, late)), answerWithinMs)
      this.#askUntilDecided(group)
        .catch((error) => this.#answerAlone(group, error))
        .finally(() => {
          clearTimeout(timer)
          resolve()
        })
    })
  }

  async #askUntilDecided(group: Group): Promise<void> {
    const link = this.#link
    for (let attempt = 0; attempt < 3; attempt++) {
      if (!link.isReady) await link.ready()
      if (link.mustReport) await link.report()
      if (group.answered || (await this.#ask(group))) return
      await link.report()
    }
    throw new Error('the shared state was lost again and again')
  }

  /** One call for the whole group. False when this instance has to report first. */
  async #ask(group: Group): Promise<boolean> {
    const link = this.#link
    const { tenant, requests, tokens } = group
    const { gate, books } = link
    const shut = gate.shut(link.nowMs())
    const probeOf = shut === undefined ? gate.pass(link.nowMs()) : undefined
    const { text, lengths } = group.runs()
    const tenantLedger = tenant && books.tenant(tenant.id)
    const corrections = group.take(books.pool)
    const { windowMs, safetyMargin } = this.#settings
    try {
      const reply = await link.scripts.reserve({
        epoch: link.state?.epoch ?? 0,
        seen: link.state?.writes ?? 0,
        windowMs,
        dayEnds: link.dayEnds().join(),
        limits: this.#limits,
        tenant: tenant &&
          tenantLedger && {
            key: link.scripts.tenantKey(tenant.id),
            limits: textOfLimits(tenant.limits),
            corrections: group.take(tenantLedger),
          },
        safetyMargin,
        runs: text,
        requests,
        tokens,
        passedMs: shut === undefined ? gate.passedMs : -shut.retryAfterMs,
        fairPart: link.state ? link.attendance.fairPart(link.state, this.#settings.elapsed()) : '',
        corrections,
        once: this.#nextOnce(),
      })
      if (group.answered) return true // too late: what was granted stays charged and is used by nobody
      if (!reply.decided) {
        group.unload('notMade')
        this.#settleSoon()
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

  #answer(
    group: Group,
    { reply, lengths, probeOf }: { reply: Reply; lengths: number[]; probeOf: number | undefined },
  ): void {
    const link = this.#link
    const { state } = reply
    if (state === null) throw new Error('reserve.lua always answers with a state')
    group.answered = true
    const taken: Amount = { requests: 0, tokens: 0 }
    const charge = { bucket: state.bucket, dayEndMs: state.dayEndMs, tenant: group.tenant, report: 0 }
    let probe = probeOf
    let at = 0
    for (const { length, granted, refused } of outcomesOf(reply, state, lengths)) {
      for (const waiting of group.waiting.slice(at, at + granted)) {
        if (taken.requests === 0) probe ??= link.gate.pass(reply.nowMs) // a pause this instance had not heard of
        taken.requests += waiting.ask.requests
        taken.tokens += waiting.ask.tokens
        waiting.answer({
          granted: true,
          degraded: false,
          charge,
          ...(probe !== undefined && { probeOfPauseMs: probe }),
        })
        probe = undefined
      }
      for (const waiting of group.waiting.slice(at + granted, at + length))
        if (refused !== undefined) this.#refuse(waiting, refused, reply)
      at += length
    }
    if (probe !== undefined) link.gate.probed(probe, false)
    if (taken.requests === 0) return
    link.books.pool.granted(charge.bucket, taken)
    if (group.tenant) link.books.tenant(group.tenant.id).granted(charge.bucket, taken)
    link.attendance.granted(charge.bucket, taken, this.#settings.elapsed())
  }

  #refuse(waiting: Waiting, refused: Shortfall, { state, nowMs }: Reply): void {
    const { ask, shareCharge, answer } = waiting
    this.#giveBackShare(ask, shareCharge)
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
    this.#settleSoon(settleAgainMs)
    for (const { ask, shareCharge, answer } of group.waiting) {
      this.#giveBackShare(ask, shareCharge)
      answer(this.#decideAlone(ask))
    }
  }

  #decideAlone(ask: Ask): Taken | Shortfall {
    const { gate, books } = this.#link
    const nowMs = this.#link.nowMs()
    const alone = this.#link.alone ?? this.#link.stepAside(new Error('Redis does not answer'))
    const shut = gate.shut(nowMs)
    const paused = shut && { ...shut, reason: 'paused' as const, tenantRefused: false }
    const refusal = paused ?? alone.refusal(ask, nowMs)
    if (refusal !== undefined) return { ...refusal, granted: false, degraded: true }
    const charge = { ...alone.charge(ask, nowMs), tenant: ask.tenant, report: books.nextReport }
    books.pool.grantedAlone(charge, ask)
    if (ask.tenant) books.tenant(ask.tenant.id).grantedAlone(charge, ask)
    const probe = gate.pass(nowMs)
    return { granted: true, degraded: true, charge, ...(probe !== undefined && { probeOfPauseMs: probe }) }
  }

  #giveBackShare(ask: Ask, charge: Charge | undefined): void {
    if (charge === undefined) return
    this.#link.alone?.adjust({ ...charge, tenant: ask.tenant }, { requests: -ask.requests, tokens: -ask.tokens })
  }

  #settleSoon(waitMs = settleAfterMs): void {
    if (this.#settleTimer !== undefined || this.#closed) return
    this.#settleTimer = setTimeout(() => {
      this.#settleTimer = undefined
      this.#track(this.#settleAll())
    }, waitMs)
  }

  async #settleAll(): Promise<void> {
    const { books, state, breaker, mustReport } = this.#link
    if (state === undefined || breaker.isOpen || mustReport) {
      if (books.pool.hasCorrections) this.#settleSoon(settleAgainMs)
      return
    }
    const sends = [this.#settle(books.pool, { epoch: state.epoch, tenantKey: undefined })]
    for (const [id, ledger] of books.tenants)
      sends.push(this.#settle(ledger, { epoch: state.birth, tenantKey: this.#link.scripts.tenantKey(id) }))
    await Promise.all(sends)
  }

  async #settle(ledger: Ledger, to: { epoch: number; tenantKey: string | undefined }): Promise<void> {
    const corrections = ledger.takeCorrections()
    if (corrections === undefined) return
    const link = this.#link
    try {
      const { windowMs } = this.#settings
      const dayEnds = link.dayEnds().join()
      const reply = await within(link.scripts.settle({ ...to, windowMs, dayEnds, corrections, once: this.#nextOnce() }))
      if (reply.decided) {
        if (to.tenantKey === undefined) link.learn(reply)
        return
      }
      ledger.notMade(corrections)
      await link.report()
      this.#settleSoon()
    } catch (error) {
      ledger.lost(corrections)
      link.fault(error)
      this.#settleSoon(settleAgainMs)
    }
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

  #nextOnce() {
    this.#onceNumber += 1
    return { id: this.#onceId, number: this.#onceNumber }
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

/** Does the connection send commands again whose answer was lost? Then refunds are numbered, lest one be made twice. */
function mayResend(redis: Redis | Cluster): boolean {
  const { options } = redis
  if ('retryDelayOnFailover' in options)
    return options.retryDelayOnFailover !== 0 || options.redisOptions?.autoResendUnfulfilledCommands !== false
  return (options as RedisOptions).autoResendUnfulfilledCommands !== false
}
