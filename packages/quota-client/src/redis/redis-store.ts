import type { Cluster, Redis } from 'ioredis'
import { leavesAtMs } from '../core/account.ts'
import { divideLimits } from '../core/limits.ts'
import { pauseLength } from '../core/pauses.ts'
import { type Request, type Settings, type Store, usageOf } from '../core/store.ts'
import type { MemoryStore } from '../memory/memory-store.ts'
import type {
  OutageBudget,
  PauseRequest,
  QuotaClientOptions,
  QuotaHealth,
  QuotaUsage,
  Runtime,
  Tenant,
} from '../types.ts'
import { type Answer, Batch, type BatchTools, denied, tenantKey } from './batch.ts'
import { pauseText } from './layout.ts'
import { Member } from './member.ts'
import type { Reply } from './script.ts'
import { WaitingCalls } from './waiting-calls.ts'

interface Parts {
  settings: Settings
  options: QuotaClientOptions
  budget: (OutageBudget & { store: MemoryStore }) | undefined
}

/** Use kept in Redis for a fleet. Nothing is granted without it, save from the outage budget. */
export class RedisStore implements Store {
  readonly #settings: Settings
  readonly #runtime: Runtime
  readonly #member: Member
  readonly #budget: Parts['budget']
  readonly #poolRpm: number
  /** A restarted instance may have used its budget before: it waits as long as a hold. */
  readonly #budgetFromMs: number
  readonly #firstReply: Promise<void>
  readonly #tools: BatchTools
  readonly #waitingCalls: WaitingCalls
  #batches = new Map<string, Batch>()
  readonly #inFlight = new Set<Promise<void>>()
  #lastUsage: Reply | undefined
  readonly #isObserver: boolean
  #isClosed = false

  constructor(redis: Redis | Cluster, { settings, options, budget }: Parts, runtime: Runtime) {
    this.#settings = settings
    this.#runtime = runtime
    this.#budget = budget
    this.#poolRpm = options.limits.rpm
    this.#budgetFromMs = runtime.monotonicMs() + 1.03 * settings.ringMs
    this.#member = new Member(redis, settings, options, runtime)
    this.#tools = {
      member: this.#member,
      ledger: {
        adjust: (charge, by) => {
          this.#member.adjust('', charge, by)
          if (charge.tenant) this.#member.adjust(charge.tenant.id, charge, by)
        },
      },
      runtime,
      settings,
      decideWithout: (waiting) => this.#decideWithout(waiting),
    }
    this.#waitingCalls = new WaitingCalls({
      ...this.#tools,
      decideWithout: ({ request, answer }) => this.#takeFromBudget(request, answer) === 0,
    })
    this.#isObserver = options.role === 'observer'
    this.#firstReply = this.#isObserver ? this.#member.connected() : this.#member.start()
  }

  decide(request: Request, answer: Answer): void {
    const { wait } = request
    if (this.#isClosed) throw new Error('this quota client was closed')
    if (this.#isObserver) throw new Error('an observer cannot reserve: create the quota client as a member')
    if (wait) {
      const { tenant } = request
      this.#waitingCalls.add(
        { ...request, wait },
        tenant && { ...tenant, limits: this.#divided(tenant).shared },
        answer,
      )
      return
    }
    const waiting = { request, answer }
    if (this.#member.pool === undefined && this.#member.unavailable === undefined)
      void this.#firstReply.then(() => this.#add(waiting))
    else this.#add(waiting)
  }

  probed(pauseEndMs: number, served: boolean): void {
    this.#member.gate.probed(pauseEndMs, served)
    this.#budget?.store.probed(pauseEndMs, served)
  }

  async pause(request: PauseRequest): Promise<void> {
    await this.#firstReply
    const { gate } = this.#member
    const nowMs = this.#member.nowMs()
    const dayEndMs = this.#settings.day.endsAround(nowMs)[1]
    const { pause } = pauseLength(request, { nowMs, dayEndMs, ringMs: this.#settings.ringMs })
    const text = pauseText({ limitType: request.limitType, untilMs: request.untilMs ?? 0 })
    // When it cannot be told now, the gate keeps it and the heartbeats restate it.
    await this.#member.call('reserve', { pause: text }).catch(() => gate.learn(pause))
    await this.#budget?.store.pause({ limitType: request.limitType, untilMs: pause.untilMs })
  }

  async usage(): Promise<QuotaUsage> {
    if (this.#member.pool === undefined) await this.#firstReply
    const reply = await this.#member.call('usage').catch(() => undefined)
    if (reply?.pool) this.#lastUsage = reply
    return this.#usageOf(this.#lastUsage, reply?.pool === undefined)
  }

  health(): QuotaHealth {
    return this.#member.health()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#waitingCalls.close()
    await Promise.all(this.#inFlight)
    await this.#member.close()
  }

  /** Takes a reservation into the call that is sent when this turn of the event loop ends. */
  #add(waiting: { request: Request; answer: Answer }): void {
    if (this.#member.unavailable !== undefined) {
      this.#decideWithout(waiting)
      return
    }
    const { tenant } = waiting.request
    if (this.#batches.size === 0) this.#runtime.defer(() => this.#sendAll())
    const key = tenantKey(tenant)
    let batch = this.#batches.get(key)
    if (batch === undefined) {
      batch = new Batch(tenant && { ...tenant, limits: this.#divided(tenant).shared }, this.#tools)
      this.#batches.set(key, batch)
    }
    batch.add(waiting)
  }

  #sendAll(): void {
    const batches = this.#batches
    this.#batches = new Map()
    for (const batch of batches.values()) {
      const sent = batch.send()
      this.#inFlight.add(sent)
      void sent.finally(() => this.#inFlight.delete(sent))
    }
  }

  /** The shared state cannot be used. */
  #decideWithout({ request, answer }: { request: Request; answer: Answer }): void {
    const { unavailable: cause = 'unreachable', heartbeatMs } = this.#member
    const refusedForMs = this.#takeFromBudget(request, answer)
    if (refusedForMs > 0)
      answer(
        denied({
          reason: 'unavailable',
          cause,
          retryAfterMs: refusedForMs < Number.POSITIVE_INFINITY ? refusedForMs : 5 * heartbeatMs,
        }),
      )
  }

  /** Answers from the outage budget, if this instance has one that is surely its own; otherwise for how long it cannot. */
  #takeFromBudget(request: Request, answer: Answer): number {
    const { pool } = this.#member
    const budget = this.#budget
    const isOwn = budget && pool && pool.members <= budget.maxInstances
    if (!isOwn || this.#runtime.monotonicMs() < this.#budgetFromMs) return Number.POSITIVE_INFINITY
    const tenant = request.tenant && { ...request.tenant, limits: this.#divided(request.tenant).own }
    let refusedForMs = 0
    budget.store.decide({ ...request, tenant, wait: undefined }, (decision) => {
      if (decision.granted) answer({ ...decision, degraded: true })
      else refusedForMs = decision.retryAfterMs
    })
    return refusedForMs
  }

  /** A tenant's limits have outage parts too. */
  #divided({ limits }: Tenant) {
    return divideLimits(limits, this.#poolRpm, this.#budget)
  }

  #usageOf(reply: Reply | undefined, degraded: boolean): QuotaUsage {
    const pool = reply?.pool
    const nowMs = this.#member.nowMs()
    const leavesInMs = (bucket = 0) => (bucket === 0 || !pool ? 0 : leavesAtMs(bucket, pool.ringMs) - nowMs)
    const none = { requests: 0, tokens: 0 }
    const windows = usageOf(this.#settings.limits, {
      window: pool?.window ?? none,
      day: pool?.day ?? none,
      dayLeftMs: (pool?.dayEndMs ?? this.#settings.day.endsAround(nowMs)[1]) - nowMs,
      oldestLeavesInMs: { requests: leavesInMs(reply?.rest[0]), tokens: leavesInMs(reply?.rest[1]) },
    })
    const pause = pool?.pause ?? this.#member.gate.pause
    const endsInMs = this.#member.holdLeftMs()
    return {
      ...windows,
      pause: pause.untilMs > nowMs ? pause : null,
      hold: pool && endsInMs > 0 ? { cause: pool.cause, endsInMs } : null,
      heldMs: { ...this.#member.heldMs },
      degraded,
      unavailable: degraded ? (this.#member.unavailable ?? 'unreachable') : null,
      instances: pool?.members ?? 0,
      queue: {
        interactive: { length: reply?.rest[2] ?? 0, startsInMs: reply?.rest[4] ?? 0 },
        batch: { length: reply?.rest[3] ?? 0, startsInMs: reply?.rest[5] ?? 0 },
      },
    }
  }
}
