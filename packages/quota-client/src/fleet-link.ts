import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import { type Account, bucketsPerWindow } from './account.ts'
import { Alone } from './alone.ts'
import { Attendance } from './attendance.ts'
import { Books } from './books.ts'
import { Breaker } from './breaker.ts'
import type { DayEnds } from './calendar-day.ts'
import type { FleetState } from './fleet-state.ts'
import { LocalShare } from './local-share.ts'
import type { StoreSettings } from './memory-store.ts'
import { PauseGate } from './pause-gate.ts'
import { newcomersWaitMs, Posting } from './posting.ts'
import { RedisClock } from './redis-clock.ts'
import { type Reply, Scripts } from './scripts.ts'
import type { QuotaClientOptions } from './types.ts'

/** Trials without an answer after which a connection that seems open is given up: a second or more. */
const trialsPerConnection = 5

export interface LinkSettings extends StoreSettings {
  assumedInstances: number
  answerWithinMs: number
  onFault: NonNullable<QuotaClientOptions['onFault']>
  /** Milliseconds of a clock that only runs forward. */
  elapsed: () => number
}

interface Sight {
  state: FleetState
  atMs: number
  seenAt: number
}

/**
 * One instance's tie to the shared state: what it last saw of it, whether it can be trusted now, and the way back after
 * a fault: post what was used, then keep to the share until all others have posted theirs.
 */
export class FleetLink {
  readonly scripts: Scripts
  readonly books = new Books()
  readonly breaker = new Breaker()
  readonly gate: PauseGate
  readonly attendance: Attendance
  readonly #redis: Redis | Cluster
  readonly #settings: LinkSettings
  readonly #id = randomUUID()
  readonly #posting: Posting
  readonly #clock: RedisClock
  #sight: Sight | undefined
  readonly #tenantSights = new Map<string, Sight>()
  /** What was read to be shown. It may be of a state that nobody has made yet, so nothing is decided by it. */
  #lastRead: Sight | undefined
  /** Set while decisions are, or may be, this instance's own: during a fault, and until all have reported after it. */
  alone: Alone | undefined
  #mustReport = false
  /** When it began to decide by itself, by `elapsed`. */
  #asideSince = 0
  #readying: Promise<void> | undefined
  #reporting: Promise<void> | undefined
  #recovering = false
  #announced = false
  #closed = false
  #textOf: DayEnds | undefined
  #text = ''

  constructor(redis: Redis | Cluster, settings: LinkSettings) {
    this.#redis = redis
    this.#settings = settings
    const { pool: name, windowMs, elapsed } = settings
    this.#clock = new RedisClock(settings)
    this.scripts = new Scripts(redis, { name, windowMs, clock: this.#clock, elapsed })
    this.gate = new PauseGate(settings.windowMs)
    this.#posting = new Posting(this, { id: this.#id, settings })
    this.attendance = new Attendance(settings.windowMs, () => void this.attend())
  }

  get mustReport(): boolean {
    return this.#mustReport
  }

  get state(): FleetState | undefined {
    return this.#sight?.state
  }

  /** Redis's time, as far as this instance can tell. */
  nowMs(): number {
    return this.#clock.nowMs()
  }

  dayEnds(): DayEnds {
    return this.#settings.day.endsAround(this.nowMs())
  }

  /** As the scripts read them. */
  dayEndsText(): string {
    const ends = this.dayEnds()
    if (ends !== this.#textOf) [this.#textOf, this.#text] = [ends, ends.join()]
    return this.#text
  }

  /** Takes over what a reply says about the pool, and leaves the share when all have reported. */
  learn(reply: Reply, tenantId?: string): void {
    if (reply.tenant !== null && tenantId !== undefined)
      this.#tenantSights.set(tenantId, this.#sightOf(reply, reply.tenant))
    if (reply.state === null) return
    const isNewcomer = this.#sight === undefined
    this.#sight = this.#sightOf(reply, reply.state)
    this.gate.learn(reply.state.pause)
    if (isNewcomer && reply.state.phaseEndsMs > reply.nowMs) this.alone = this.#stepAside() // the shares leave it none
    this.leavePhase(reply.nowMs)
  }

  /** Back to deciding together when, at Redis's time `nowMs`, all have reported or a window has passed. */
  leavePhase(nowMs: number): void {
    if (this.alone === undefined || this.#mustReport || (this.state?.phaseEndsMs ?? 0) > nowMs) return
    this.#decideTogether()
  }

  /** Keeps what usage.lua said, to go on from when Redis cannot be asked. */
  showed(reply: Reply): void {
    if (reply.state !== null) this.#lastRead = this.#sightOf(reply, reply.state)
  }

  /** Redis's time until which nobody takes anything in a phase: three beats, in which all that are there report. */
  get holdUntilMs(): number {
    return (this.state?.epoch ?? 0) / 1000 + 3 * this.attendance.beatMs
  }

  get isReady(): boolean {
    return this.#redis.status === 'ready'
  }

  /** The pool's account as far as this instance knows it, rolled on to `nowMs`. */
  localView(nowMs: number): Account {
    const dayEnds = this.#settings.day.endsAround(nowMs)
    let view = this.alone?.pool
    if (view === undefined) {
      view = new LocalShare(1, this.#settings.windowMs)
      const { seenAt = Number.NEGATIVE_INFINITY } = this.#sight ?? {}
      const latest = this.#lastRead && this.#lastRead.seenAt > seenAt ? this.#lastRead : this.#sight
      view.seed(latest, { limits: this.#settings.limits, nowMs, dayEnds })
    }
    view.roll(nowMs, dayEnds)
    return view.whole
  }

  /** Waits until the connection can be used, or rejects when that takes too long. */
  async ready(): Promise<void> {
    if (this.isReady) return
    this.#readying ??= this.#becomeReady().finally(() => {
      this.#readying = undefined
    })
    await this.#readying
  }

  async #becomeReady(): Promise<void> {
    const redis = this.#redis
    if (redis.status === 'end') throw new Error('the connection to Redis was closed')
    if (redis.status === 'wait') redis.connect().catch(() => {}) // its failure is the error event awaited below
    await once(redis, 'ready', { signal: AbortSignal.timeout(this.#settings.answerWithinMs) })
  }

  /** Redis failed or did not answer: from now on this instance decides by itself, until it has reported. */
  fault(cause: unknown): void {
    this.breaker.failed()
    if (this.#closed) return
    if (this.attendance.started) this.stepAside(cause)
    if (!this.#recovering) void this.#recover()
  }

  /** From now on this instance decides by itself, until it has reported. */
  stepAside(cause: unknown): Alone {
    this.alone ??= this.#stepAside()
    this.#mustReport = true
    this.#announce(cause)
    return this.alone
  }

  /**
   * A report was sent, and its answer did not come. Perhaps the others count it, and no longer keep to their shares: then
   * this instance has none either, until a window has passed.
   */
  reportedPerhaps(): void {
    this.alone = this.#stepAside()
  }

  /**
   * Back to deciding together, or to the phase that it was in. Alone, who shares the quota takes nothing for a window: sooner
   * than that nobody has anything to report, and if the state itself was lost, the next call says so.
   */
  async rejoin(): Promise<void> {
    if (this.#owesReport()) return await this.report()
    this.#mustReport = false
    this.breaker.succeeded()
    this.leavePhase(this.nowMs())
  }

  /** Posts what this instance used on its own, or all that it used if the state was lost. One report at a time. */
  report(): Promise<void> {
    this.#reporting ??= this.#post().finally(() => {
      this.#reporting = undefined
    })
    return this.#reporting
  }

  /** Says that this instance is there, and hears how the fleet is. */
  async attend(): Promise<void> {
    if (this.#mustReport || this.breaker.isOpen) return
    const { attendance } = this
    const { state } = this
    const { epoch = 0, writes = 0 } = state ?? {}
    const { goneAfterMs, hungryForMs } = attendance
    try {
      await this.ready()
      const saidAtMs = state === undefined ? 0 : this.nowMs()
      const hungryUse = attendance.hungryUse(this.#settings.elapsed())
      const reply = await this.within(
        this.scripts.attend({ id: this.#id, epoch, seen: writes, goneAfterMs, hungryForMs, hungryUse, saidAtMs }),
      )
      this.breaker.succeeded()
      if (!reply.decided) return await (this.state?.epoch === state?.epoch ? this.report() : undefined)
      this.learn(reply)
      attendance.registered(reply.state?.instances ?? 1, reply.nowMs)
      this.#forgetIdleTenants()
    } catch (error) {
      this.fault(error)
    }
  }

  close(): void {
    this.#closed = true
    this.attendance.stop()
  }

  async #post(): Promise<void> {
    this.#mustReport = true
    this.alone ??= this.#stepAside()
    const lastGoodMs = this.#sight?.atMs ?? this.nowMs()
    await this.#posting.post(lastGoodMs + 2 * this.attendance.beatMs)
    this.breaker.succeeded() // from here on reservations wait for the end of this report
    while (this.books.hasUseAlone) await this.#posting.post(-1) // what was used while the report was on its way
    this.#mustReport = false
    if (this.#sight === undefined) return
    const { state, atMs } = this.#sight
    this.attendance.registered(state.instances, atMs)
    this.leavePhase(atMs)
    if (this.alone !== undefined && state.phaseEndsMs - atMs > newcomersWaitMs)
      this.#announce(new Error('the shared state was lost or out of reach; others have to report'))
  }

  /** Tries in the background until Redis answers a harmless question, then reports. */
  async #recover(): Promise<void> {
    this.#recovering = true
    let unanswered = 0
    while (!this.#closed && (this.#mustReport || this.breaker.isOpen)) {
      await delay(Math.min(250, this.attendance.beatMs), undefined, { ref: false })
      if (this.#closed || this.#redis.status !== 'ready') continue
      try {
        const { windowMs } = this.#settings
        await this.within(this.scripts.usage({ windowMs, dayEnds: this.dayEndsText() }))
        if (this.#mustReport) await this.rejoin()
        this.breaker.succeeded()
      } catch {
        this.breaker.failed() // still down, and known to be: tried again after the delay
        unanswered += 1
        // The peer may have vanished without a word: dial again rather than wait for TCP to notice.
        if (unanswered % trialsPerConnection === 0) this.#redis.disconnect(true)
      }
    }
    this.#recovering = false
  }

  #stepAside(): Alone {
    this.#asideSince = this.#settings.elapsed()
    const nowMs = this.nowMs()
    const { state } = this
    const seen = state?.instances ?? 0
    const junior = state !== undefined && this.attendance.isJunior(nowMs, seen)
    const instances = junior ? Number.POSITIVE_INFINITY : Math.max(1, seen || this.#settings.assumedInstances)
    const tenants = new Map(this.#tenantSights)
    const sights = {
      pool: this.#sight,
      tenant: (id: string) => tenants.get(id),
    }
    return new Alone(this.#settings, { instances, sights, nowMs })
  }

  /** Whether others may wait for this instance's report, or have used what they must report. */
  #owesReport(): boolean {
    if (this.#sight === undefined || this.#reporting !== undefined || this.books.hasUseAlone) return true
    const { windowMs, elapsed } = this.#settings
    return elapsed() - this.#asideSince > windowMs - 3 * this.attendance.beatMs
  }

  #sightOf(reply: Reply, state: FleetState): Sight {
    return { state, atMs: reply.nowMs, seenAt: this.#settings.elapsed() }
  }

  #decideTogether(): void {
    this.alone = undefined
    if (!this.#announced) return
    this.#announced = false
    this.#settings.onFault({ state: 'recovered' })
  }

  #announce(cause: unknown): void {
    if (this.#announced) return
    this.#announced = true
    this.#settings.onFault({ state: 'degraded', cause })
  }

  /** The bucket that Redis is in, as far as this instance can tell. */
  bucket(): number {
    return Math.floor((this.nowMs() * bucketsPerWindow) / this.#settings.windowMs)
  }

  #forgetIdleTenants(): void {
    this.books.forgetIdleTenants(this.bucket())
    for (const [id, { seenAt }] of this.#tenantSights)
      if (this.#settings.elapsed() - seenAt > this.#settings.windowMs && !this.books.tenants.has(id))
        this.#tenantSights.delete(id)
  }

  /** The answer, or a rejection when it takes too long, whatever the connection's own options are. */
  async within<T>(answer: Promise<T>): Promise<T> {
    const { answerWithinMs } = this.#settings
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      const give = () => reject(new Error(`Redis did not answer within ${answerWithinMs} ms`))
      timer = setTimeout(() => setImmediate(give), answerWithinMs)
    })
    try {
      return await Promise.race([answer, late])
    } finally {
      clearTimeout(timer)
    }
  }
}
