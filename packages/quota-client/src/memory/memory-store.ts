import { Account, type Amount, type Now } from '../core/account.ts'
import { ceilingsFor } from '../core/limits.ts'
import { PauseGate, pauseLength, shrunk } from '../core/pauses.ts'
import type { Denied, Request, Settings, Store, StoredCharge, Taken } from '../core/store.ts'
import { freshness, usageOf } from '../core/store.ts'
import type { LimitType, PauseRequest, Priority, QuotaHealth, QuotaUsage, Runtime, Tenant } from '../types.ts'
import { WaitingLine } from './waiting-line.ts'

/** Use kept in this process: the contract of RedisStore for one instance, and the ring of its outage budget. */
export class MemoryStore implements Store {
  readonly #settings: Settings
  readonly #runtime: Runtime
  readonly #pool: Account
  readonly #tenants = new Map<string, Account>()
  readonly #gate: PauseGate
  readonly #wallLeadMs: number
  readonly #line: WaitingLine
  #tenantsOfDayEnd = 0

  constructor(settings: Settings, runtime: Runtime) {
    this.#settings = settings
    this.#runtime = runtime
    this.#pool = new Account(settings.ringMs)
    this.#gate = new PauseGate(settings.windowMs)
    const grants = {
      decide: (request: Request) => this.#decide(request, 1),
      waitOf: (request: Request, before: number) => this.#refusalOf(request, before),
      rpm: () => this.#pool.shrunk(settings.limits.rpm, this.#roll(this.#pool)),
    }
    this.#line = new WaitingLine(grants, settings, runtime)
    this.#wallLeadMs = runtime.wallMs() - runtime.monotonicMs()
  }

  decide(request: Request, answer: (decision: Taken | Denied) => void): void {
    const { priority, wait } = request
    this.#line.advance()
    const margin = this.#settings.safetyMargin
    const inLine = this.#line.isBehind(priority) && this.#line.waitAt(request, this.#line.length(priority))
    const decision = inLine ? longer(inLine, this.#refusalOf(request, 0, margin)) : this.#decide(request, margin)
    if (wait && !decision.granted) this.#line.join({ ...request, wait }, answer)
    else answer(decision)
  }

  #decide(request: Request, margin: number): Taken | Denied {
    const denied = this.#refusalOf(request, 0, margin)
    if (denied) return denied
    const now = this.#roll(this.#pool)
    const { tenant } = request
    const charge = { ...this.#pool.charge(request), incarnation: 0, tenant }
    if (tenant) this.#tenantAccount(tenant).charge(request)
    const probeOfPauseMs = this.#gate.pass(now.dayMs)
    const isFresh = freshness(this.#runtime, this.#settings)
    return { granted: true, degraded: false, charge, ledger: this, isFresh, probeOfPauseMs }
  }

  /** Why and for how long the request is refused when so many of its size start before it. */
  #refusalOf(request: Request, before: number, margin = 1): Denied | undefined {
    const now = this.#roll(this.#pool)
    const { priority, tenant } = request
    const { limits } = this.#settings
    const account = tenant && this.#tenantAccount(tenant)
    let denied: Denied | undefined
    const consider = (
      wait: { limitType: LimitType | 'upstream'; retryAfterMs: number } | undefined,
      reason: 'paused' | 'spent',
      tenantRefused = false,
    ) => {
      if (wait === undefined || wait.retryAfterMs <= (denied?.retryAfterMs ?? 0)) return
      denied = { granted: false, degraded: false, reason, tenantRefused, ...wait }
    }
    consider(this.#gate.closed(now.dayMs), 'paused')
    if (denied && now.dayMs >= this.#gate.pause.untilMs) return denied // a probe is out: nothing more is known until it returns
    consider(this.#pool.shortage(ceilingsFor(priority, limits, margin), request, now, before), 'spent')
    consider(account?.shortage(ceilingsFor(priority, tenant?.limits ?? {}, margin), request, now), 'spent', true)
    return denied
  }

  adjust(charge: StoredCharge, by: Amount): void {
    this.#roll(this.#pool)
    this.#pool.adjust(charge, by)
    if (charge.tenant !== undefined) this.#tenantAccount(charge.tenant).adjust(charge, by)
    this.#line.advance()
  }

  probed(pauseEndMs: number, served: boolean): void {
    this.#gate.probed(pauseEndMs, served)
    this.#line.advance()
  }

  async pause(request: PauseRequest): Promise<void> {
    const now = this.#roll(this.#pool)
    const { ringMs } = this.#settings
    const { pause, shrinks } = pauseLength(request, { nowMs: now.dayMs, dayEndMs: this.#pool.dayEndMs, ringMs })
    this.#gate.learn(pause)
    if (shrinks) this.#pool.shrinkage = shrunk(this.#pool.shrinkage, now.ringMs, ringMs)
    this.#line.advance()
  }

  async usage(): Promise<QuotaUsage> {
    const now = this.#roll(this.#pool)
    const { window, day, dayEndMs } = this.#pool
    const { pause } = this.#gate
    const windows = usageOf(this.#settings.limits, {
      window,
      day,
      dayLeftMs: dayEndMs - now.dayMs,
      oldestLeavesInMs: {
        requests: this.#pool.oldestLeavesInMs('requests', now),
        tokens: this.#pool.oldestLeavesInMs('tokens', now),
      },
    })
    return {
      ...windows,
      pause: pause.untilMs > now.dayMs ? pause : null,
      hold: null,
      heldMs: { empty: 0, restart: 0, clock: 0, configuration: 0 },
      degraded: false,
      unavailable: null,
      instances: 1,
      queue: { interactive: this.#queue('interactive'), batch: this.#queue('batch') },
    }
  }

  health(): QuotaHealth {
    return { state: 'serving' }
  }

  async close(): Promise<void> {
    this.#line.close()
  }

  #queue(priority: Priority): QuotaUsage['queue'][Priority] {
    const length = this.#line.length(priority)
    const request = { requests: 1, tokens: 0, priority, tenant: undefined }
    return { length, startsInMs: this.#line.waitAt(request, length)?.retryAfterMs ?? 0 }
  }

  #tenantAccount(tenant: Tenant): Account {
    let account = this.#tenants.get(tenant.id)
    if (account === undefined) {
      this.#forgetYesterdaysTenants()
      account = new Account(this.#settings.ringMs)
      this.#tenants.set(tenant.id, account)
    }
    this.#roll(account)
    return account
  }

  #forgetYesterdaysTenants(): void {
    if (this.#tenantsOfDayEnd === this.#pool.dayEndMs) return
    this.#tenantsOfDayEnd = this.#pool.dayEndMs
    for (const [id, account] of this.#tenants) {
      this.#roll(account)
      if (account.window.requests === 0 && account.day.requests === 0) this.#tenants.delete(id)
    }
  }

  /** The ring goes by the monotonic clock, so that a step of the wall clock empties nothing; the day goes by the wall clock. */
  #roll(account: Account): Now {
    const dayMs = this.#runtime.wallMs()
    const now = { ringMs: this.#runtime.monotonicMs() + this.#wallLeadMs, dayMs }
    account.roll(now, this.#settings.day.endsAround(dayMs))
    return now
  }
}

function longer(one: Denied, other: Denied | undefined): Denied {
  return other && other.retryAfterMs > one.retryAfterMs ? other : one
}
