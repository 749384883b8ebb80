import { causeOf, type UnavailableCause } from '@knowalledge/redis-kit'
import type { Cluster, Redis } from 'ioredis'
import type { Amount } from '../core/account.ts'
import { limitsText } from '../core/limits.ts'
import { PauseGate } from '../core/pauses.ts'
import type { Settings } from '../core/store.ts'
import type { QuotaClientOptions, QuotaHealth, Runtime, Tenant, Timer } from '../types.ts'
import { ClockBounds } from './clock-bounds.ts'
import { type PoolState, pauseText } from './layout.ts'
import { Adjustments, DayKnowledge } from './pending.ts'
import { type Call, QuotaScript, type Reply } from './script.ts'

/** Heartbeats in a row without an answer after which an open connection is given up. */
const heartbeatsPerConnection = 3

type MemberOptions = Pick<QuotaClientOptions, 'role' | 'newPool' | 'onFault' | 'onHold' | 'outage' | 'lingers'>
type Parts = Partial<Pick<Call, 'runs' | 'pause' | 'line'>> & { tenant?: Tenant | undefined }

/**
 * One instance as a member of a pool: what it knows of the shared state and of Redis's clock, its heartbeats, and what it has
 * to tell the state beside its reservations.
 */
export class Member {
  readonly gate: PauseGate
  readonly adjustments = new Adjustments()
  readonly heartbeatMs: number
  readonly #redis: Redis | Cluster
  readonly #settings: Settings
  readonly #options: MemberOptions
  readonly #runtime: Runtime
  readonly #script: QuotaScript
  readonly #clock: ClockBounds
  readonly #terms: string
  #pool: PoolState | undefined
  #writesSeen = 0
  #doubted = 0
  #beganAlone = false
  #unavailable: UnavailableCause | undefined
  readonly heldMs = { empty: 0, restart: 0, clock: 0, configuration: 0 }
  readonly #days: DayKnowledge
  #timer: Timer | undefined
  #unanswered = 0
  #isBeating = false
  #isClosed = false

  constructor(redis: Redis | Cluster, settings: Settings, options: MemberOptions, runtime: Runtime) {
    this.#redis = redis
    this.#settings = settings
    this.#options = options
    this.#runtime = runtime
    this.heartbeatMs = settings.windowMs / 60
    this.gate = new PauseGate(settings.windowMs)
    this.#script = new QuotaScript(redis, runtime, { pool: settings.pool, timeoutMs: settings.transitMs })
    this.#clock = new ClockBounds(runtime, settings)
    this.#days = new DayKnowledge(settings, runtime)
    const mayOpen = options.newPool === 'open' ? 1 : 0
    const windowMs = settings.windowMs + settings.slackMs
    this.#terms = `${windowMs},${settings.transitMs},${settings.safetyMargin},${mayOpen},${limitsText(settings.limits)}`
  }

  /** Undefined until Redis has answered. */
  get pool(): PoolState | undefined {
    return this.#pool
  }

  /** Why the shared state cannot be used; undefined when it can. */
  get unavailable(): UnavailableCause | undefined {
    return this.#unavailable
  }

  get id(): string {
    return this.#script.memberId
  }

  /** Redis's time, as far as this instance knows. */
  nowMs(): number {
    return this.#clock.nowMs()
  }

  health(): QuotaHealth {
    const { outage } = this.#options
    const pool = this.#pool
    if (this.#unavailable !== undefined) return { state: 'unavailable', cause: this.#unavailable }
    if (pool === undefined) return { state: 'joining' }
    if (outage && pool.members > outage.maxInstances)
      return { state: 'too_many_instances', instances: pool.members, maxInstances: outage.maxInstances }
    const endsInMs = this.holdLeftMs()
    if (endsInMs > 0) return { state: 'hold', cause: pool.cause, endsInMs }
    return { state: this.#options.role === 'observer' || this.mayUseGrants() ? 'serving' : 'joining' }
  }

  holdLeftMs(): number {
    return Math.max(0, Math.ceil((this.#pool?.openAtMs ?? 0) - this.nowMs()))
  }

  /**
   * A step of a clock would be seen, by this instance or by one that was there before it: it has watched for two heartbeats,
   * in which the others see what happened before it came. Where there were none, not even silent ones, it need not wait.
   */
  mayUseGrants(): boolean {
    const watchedForMs = this.#clock.watchedForMs()
    if (this.#doubted !== 0 || watchedForMs === undefined) return false
    return this.#beganAlone || watchedForMs >= 2 * this.heartbeatMs
  }

  /** One call of the script, with the adjustments of the pool and of the tenant. Rejects when Redis cannot be used. */
  async call(kind: Call['kind'], { tenant, ...parts }: Parts = {}): Promise<Reply> {
    const riding = [this.adjustments.take('')]
    if (tenant) riding.push(this.adjustments.take(tenant.id))
    const statement = kind === 'heartbeat' ? this.#days.statement() : undefined
    const known = { incarnation: this.#pool?.incarnation ?? 0, writes: this.#writesSeen }
    let reply: Reply
    try {
      reply = await this.#script.call({
        ...parts,
        kind,
        known,
        doubted: this.#doubted,
        deadlineMs: this.#clock.isKnown ? this.nowMs() + this.#settings.transitMs : 0,
        terms: this.#terms,
        dayEnds: this.#settings.day.endsAround(this.nowMs()).join(),
        adjustments: riding[0]?.text ?? '',
        knowledge: statement?.text ?? '',
        tenant: tenant && { id: tenant.id, limits: limitsText(tenant.limits), adjustments: riding[1]?.text ?? '' },
      })
    } catch (error) {
      for (const sent of riding) this.adjustments.unknown(sent)
      this.#failed(error, kind)
      throw error
    }
    // Of a call that came too late for its deadline the reply's time still counts: a step may be why.
    const watched = this.#clock.sinceMs
    const stepped = this.#clock.learn(reply.nowMs, reply.sentMs)
    if (this.#clock.sinceMs !== watched) this.#beganAlone = kind === 'heartbeat' && reply.pool?.others === 0
    if (reply.pool) this.#learn(reply, reply.pool, tenant)
    else for (const sent of riding) this.adjustments.notDone(sent)
    if (stepped) this.#doubted = this.#pool?.incarnation ?? 0
    if (reply.pool?.incarnation === known.incarnation) this.#days.told(statement)
    return reply
  }

  /** Waits for a connection that was just made, for as long as a call may take. */
  async connected(): Promise<void> {
    const redis = this.#redis
    if (redis.status === 'wait') redis.connect().catch(() => {}) // a failure shows as the missing `ready`
    if (redis.status === 'ready') return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#runtime.setTimer(resolve, this.#settings.transitMs)
    redis.once('ready', resolve)
    await promise
    timer.cancel()
    redis.off('ready', resolve)
  }

  /** Keeps an adjustment until it is sent. One of an earlier incarnation has nothing to take back from. */
  adjust(account: string, charge: { incarnation: number; bucket: number; dayEndMs: number }, by: Amount): void {
    const isCurrent = charge.incarnation === this.#pool?.incarnation
    if (isCurrent) this.adjustments.add(account, charge, by)
    else if (by.tokens > 0) this.adjustments.add(account, charge, { requests: 0, tokens: by.tokens })
  }

  /** Resolves with the first heartbeat; from then on there is one regularly. */
  async start(): Promise<void> {
    await this.connected()
    this.#redis.on('ready', this.#beatNow)
    await this.heartbeat()
  }

  /** Stops the heartbeats, sends what waits, and leaves. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    if (this.#options.role === 'observer') return
    this.#redis.off('ready', this.#beatNow)
    if (this.#options.lingers || this.#unavailable !== undefined || this.#pool === undefined) return
    await this.#sendTenantsAdjustments().catch(() => {}) // what cannot be sent stays charged
    await this.call('leave').catch(() => {})
  }

  /** Sends a heartbeat now, unless one is on its way, and from then on regularly. A second one names a doubt at once. */
  async heartbeat(isSecond = false): Promise<void> {
    if (this.#isBeating || this.#isClosed) return
    this.#isBeating = true
    this.#timer?.cancel()
    try {
      const { pause } = this.gate
      const isUnheard = pause.untilMs > Math.max(this.#pool?.pause.untilMs ?? 0, this.nowMs())
      await this.call('heartbeat', isUnheard ? { pause: pauseText(pause) } : {})
      this.#unanswered = 0
      await this.#sendTenantsAdjustments()
    } catch {
      // `call` has noted the failure; the next heartbeat tries again.
    }
    this.#isBeating = false
    if (!this.#isClosed) this.#timer = this.#runtime.setTimer(this.#beatNow, this.heartbeatMs)
    if (this.#doubted !== 0 && !isSecond && this.#unavailable === undefined) void this.heartbeat(true)
  }

  readonly #beatNow = () => void this.heartbeat()

  async #sendTenantsAdjustments(): Promise<void> {
    for (const account of this.adjustments.accounts())
      if (account !== '') await this.call('reserve', { tenant: { id: account, limits: {} } })
  }

  #learn(reply: Reply, pool: PoolState, tenant: Tenant | undefined): void {
    if (pool.incarnation !== this.#pool?.incarnation) this.#newIncarnation(pool, reply.nowMs)
    this.#pool = pool
    this.#writesSeen = Math.max(this.#writesSeen, pool.writes)
    if (this.#doubted !== pool.incarnation) this.#doubted = 0
    this.gate.learn(pool.pause)
    this.#days.see('', pool)
    if (tenant && reply.tenant) this.#days.see(tenant.id, reply.tenant, tenant.limits)
    if (this.#unavailable === undefined) return
    this.#unavailable = undefined
    this.#options.onFault?.({ state: 'recovered' })
  }

  #newIncarnation(pool: PoolState, nowMs: number): void {
    this.#writesSeen = 0
    this.adjustments.forgetTakeBacks()
    this.#days.newIncarnation(pool.dayEndMs)
    const { cause } = pool
    const endsInMs = Math.ceil(pool.openAtMs - nowMs)
    if (endsInMs <= 0) return
    this.heldMs[cause] += endsInMs
    this.#options.onHold?.({ cause, endsInMs })
  }

  #failed(error: unknown, kind: Call['kind']): void {
    const cause = causeOf(error)
    const isNew = this.#unavailable === undefined
    // While it connects again the cause that Redis itself named stays.
    if (isNew || cause !== 'unreachable' || this.#redis.status === 'ready') this.#unavailable = cause
    if (isNew) this.#options.onFault?.({ state: 'degraded', cause: error, reason: cause })
    if (cause === 'read_only' && kind !== 'reserve') this.#redis.disconnect(true) // its name may have another address by now
    if (this.#isClosed || this.#options.role === 'observer') return
    if (kind !== 'heartbeat') {
      this.#beatNow()
      return
    }
    this.#unanswered += 1
    // The peer may have vanished without a word: connect again rather than wait for TCP to notice.
    if (cause === 'unreachable' && this.#unanswered % heartbeatsPerConnection === 0 && this.#redis.status === 'ready')
      this.#redis.disconnect(true)
  }
}
