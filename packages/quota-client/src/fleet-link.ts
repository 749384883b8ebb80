import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import { type Account, bucketsPerWindow } from './account.ts'
import { Alone } from './alone.ts'
import { Attendance } from './attendance.ts'
import { Books } from './books.ts'
import { Breaker } from './breaker.ts'
import { type FleetState, pauseKind } from './fleet-state.ts'
import type { Ledger } from './ledger.ts'
import { type LastSight, LocalShare } from './local-share.ts'
import type { StoreSettings } from './memory-store.ts'
import { PauseGate } from './pause-gate.ts'
import { answerWithinMs } from './redis-options.ts'
import { type Reply, Scripts } from './scripts.ts'
import type { QuotaClientOptions } from './types.ts'

export interface LinkSettings extends StoreSettings {
  assumedInstances: number
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
  #sight: Sight | undefined
  readonly #tenantSights = new Map<string, Sight>()
  /** Set while decisions are, or may be, this instance's own: during a fault, and until all have reported after it. */
  alone: Alone | undefined
  #mustReport = false
  #reporting: Promise<void> | undefined
  #tenantsOwe = false
  #recovering = false
  #announced = false
  #closed = false

  constructor(redis: Redis | Cluster, settings: LinkSettings) {
    this.#redis = redis
    this.#settings = settings
    this.scripts = new Scripts(redis, { name: settings.pool, windowMs: settings.windowMs })
    this.gate = new PauseGate(settings.windowMs)
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
    if (this.#sight === undefined) return this.#settings.clock()
    return this.#sight.atMs + (this.#settings.elapsed() - this.#sight.seenAt)
  }

  dayEnds() {
    return this.#settings.day.endsAround(this.nowMs())
  }

  /** Takes over what a reply says about the pool, and leaves the share when all have reported. */
  learn(reply: Reply, tenantId?: string): void {
    const sight = (state: FleetState): Sight => ({ state, atMs: reply.nowMs, seenAt: this.#settings.elapsed() })
    if (reply.tenant !== null && tenantId !== undefined) this.#tenantSights.set(tenantId, sight(reply.tenant))
    if (reply.state === null) return
    this.#sight = sight(reply.state)
    this.gate.learn(reply.state.pause)
    const phaseIsOver = reply.state.phaseEndsMs <= reply.nowMs
    if (this.alone !== undefined && !this.#mustReport && phaseIsOver) this.#recovered()
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
      view.seed(this.#lastSight(this.#sight, 1), { limits: this.#settings.limits, nowMs, dayEnds })
    }
    view.roll(nowMs, dayEnds)
    return view.whole
  }

  /** Waits until the connection can be used, or rejects after 50 ms. */
  async ready(): Promise<void> {
    if (this.isReady) return
    const redis = this.#redis
    if (redis.status === 'end') throw new Error('the connection to Redis was closed')
    if (redis.status === 'wait') redis.connect().catch(() => {}) // its failure is the error event awaited below
    await once(redis, 'ready', { signal: AbortSignal.timeout(answerWithinMs) })
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
    this.alone ??= this.#shareOfLastSight()
    this.#mustReport = true
    this.#announce(cause)
    return this.alone
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
    const { epoch = 0, writes = 0 } = this.state ?? {}
    const { goneAfterMs, hungryForMs } = attendance
    try {
      await this.ready()
      const hungryUse = attendance.hungryUse(this.#settings.elapsed())
      const reply = await within(
        this.scripts.attend({ id: this.#id, epoch, seen: writes, goneAfterMs, hungryForMs, hungryUse }),
      )
      this.breaker.succeeded()
      if (!reply.decided) return await this.report()
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
    this.alone ??= this.#shareOfLastSight()
    const { windowMs } = this.#settings
    const known = this.state
    const number = this.books.nextReport++
    const { usedBefore, usedAlone } = this.books.pool.beginReport(number, this.#bucket())
    let reply: Reply
    try {
      reply = await within(
        this.scripts.report({
          id: this.#id,
          windowMs,
          dayEnds: this.dayEnds().join(),
          birth: known?.birth ?? 0,
          epoch: known?.epoch ?? 0,
          seen: known?.writes ?? 0,
          heardByMs: (this.#sight?.atMs ?? this.nowMs()) + 2 * this.attendance.beatMs,
          instances: Math.max(1, known?.instances ?? this.#settings.assumedInstances),
          lastDay: known === undefined ? '0,0,0' : `${known.dayEndMs},${known.day.requests},${known.day.tokens}`,
          usedBefore,
          usedAlone,
          pause: { untilMs: this.gate.pause.untilMs, kind: pauseKind(this.gate.pause.limitType) },
        }),
      )
    } catch (error) {
      this.books.pool.notPosted()
      throw error
    }
    const lost = reply.state?.birth !== known?.birth
    this.books.pool.posted(lost)
    this.#tenantsOwe ||= lost
    await this.#postTenants(number)
    this.#mustReport = false
    this.breaker.succeeded()
    this.learn(reply)
    if (this.alone !== undefined)
      this.#announce(new Error('the shared state was lost or unreachable; others have yet to report'))
  }

  async #postTenants(number: number): Promise<void> {
    const posts = [...this.books.tenants].map(([id, ledger]) => this.#postTenant(id, { ledger, number }))
    const outcomes = await Promise.allSettled(posts)
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failure !== undefined) throw failure.reason
    this.#tenantsOwe = false
  }

  async #postTenant(id: string, { ledger, number }: { ledger: Ledger; number: number }): Promise<void> {
    const { usedBefore, usedAlone } = ledger.beginReport(number, this.#bucket())
    const used = { buckets: (this.#tenantsOwe ? usedBefore : '') + usedAlone.buckets, days: usedAlone.days }
    const { windowMs } = this.#settings
    try {
      const tenantKey = this.scripts.tenantKey(id)
      await within(this.scripts.reportTenant({ windowMs, dayEnds: this.dayEnds().join(), tenantKey, used }))
      ledger.posted(this.#tenantsOwe)
    } catch (error) {
      ledger.notPosted()
      throw error
    }
  }

  /** Tries in the background until Redis answers a harmless question, then reports. */
  async #recover(): Promise<void> {
    this.#recovering = true
    while (!this.#closed && (this.#mustReport || this.breaker.isOpen)) {
      await delay(Math.min(250, this.attendance.beatMs), undefined, { ref: false })
      if (this.#closed || this.#redis.status !== 'ready') continue
      try {
        const { windowMs } = this.#settings
        await within(this.scripts.usage({ windowMs, dayEnds: this.dayEnds().join() }))
        if (this.#mustReport) await this.report()
        this.breaker.succeeded()
      } catch {
        this.breaker.failed() // still down, and known to be: tried again after the delay
      }
    }
    this.#recovering = false
  }

  #shareOfLastSight(): Alone {
    const nowMs = this.nowMs()
    const { state } = this
    const seen = state?.instances ?? 0
    const junior = state !== undefined && this.attendance.isJunior(nowMs, seen)
    const instances = junior ? Number.POSITIVE_INFINITY : Math.max(1, seen || this.#settings.assumedInstances)
    const tenants = new Map(this.#tenantSights)
    const sights = {
      pool: this.#lastSight(this.#sight, instances),
      tenant: (id: string) => this.#lastSight(tenants.get(id), instances),
    }
    return new Alone(this.#settings, { instances, sights, nowMs })
  }

  /** Trusted when nobody else can have used much since: nobody else is there, or the sight is younger than two beats. */
  #lastSight(sight: Sight | undefined, instances: number): LastSight | undefined {
    if (sight === undefined) return undefined
    const age = this.#settings.elapsed() - sight.seenAt
    const trusted = instances === 1 || age <= 2.5 * this.attendance.beatMs + 3 * answerWithinMs
    return { state: sight.state, atMs: sight.atMs, trusted }
  }

  #recovered(): void {
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

  #bucket(): number {
    return Math.floor((this.nowMs() * bucketsPerWindow) / this.#settings.windowMs)
  }

  #forgetIdleTenants(): void {
    this.books.forgetIdleTenants(this.#bucket())
    for (const [id, { seenAt }] of this.#tenantSights)
      if (this.#settings.elapsed() - seenAt > this.#settings.windowMs && !this.books.tenants.has(id))
        this.#tenantSights.delete(id)
  }
}

/** The answer, or a rejection after 50 ms, whatever the connection's own options are. */
export async function within<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Redis did not answer within ${answerWithinMs} ms`)), answerWithinMs)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
