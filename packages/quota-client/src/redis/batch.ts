import { limitsText, limitTypes } from '../core/limits.ts'
import { type Denied, freshness, type Request, type Settings, type Taken } from '../core/store.ts'
import type { Pause, Runtime, Tenant } from '../types.ts'
import { type PoolState, pausedOutcome, status } from './layout.ts'
import type { Member } from './member.ts'
import type { Reply } from './script.ts'

export type Answer = (decision: Taken | Denied) => void
/** A call that waits for its decision. */
export interface Waiting {
  request: Request
  answer: Answer
}

/** What all calls of a store share. */
export interface CallTools {
  member: Member
  ledger: Taken['ledger']
  runtime: Runtime
  settings: Settings
}

export interface BatchTools extends CallTools {
  /** For calls that the shared state could not answer. */
  decideWithout: (waiting: Waiting) => void
}

/** Calls with the same key travel together: a call of the script knows one tenant, with one set of limits. */
export function tenantKey(tenant: Tenant | undefined): string {
  return tenant ? `${limitsText(tenant.limits)} ${tenant.id}` : ''
}

/** The reservations of one turn of the event loop, of one tenant or of none: they travel as one call. */
export class Batch {
  readonly #tools: BatchTools
  readonly #tenant: Tenant | undefined
  #waiting: Waiting[] = []

  constructor(tenant: Tenant | undefined, tools: BatchTools) {
    this.#tenant = tenant
    this.#tools = tools
  }

  add(waiting: Waiting): void {
    this.#waiting.push(waiting)
  }

  /** Resolves when all have their answer. */
  async send(): Promise<void> {
    const { member, decideWithout, runtime, settings } = this.#tools
    const probeOfPauseMs = this.#passGate()
    if (this.#waiting.length === 0) return
    if (!member.mayUseGrants()) return this.#denyAll({ reason: 'unavailable', retryAfterMs: 2 * member.heartbeatMs })
    const { text, lengths } = this.#runs()
    const isFresh = freshness(runtime, settings)
    try {
      const reply = await member.call('reserve', { runs: text, tenant: this.#tenant })
      const { pool } = reply
      if (pool === undefined) throw new Error('Redis carried the call out too late')
      if (reply.status === status.hold)
        this.#denyAll({ reason: 'hold', cause: pool.cause, retryAfterMs: pool.openAtMs - reply.nowMs })
      else if (!member.mayUseGrants()) this.#denyAll({ reason: 'unavailable', retryAfterMs: 2 * member.heartbeatMs })
      else {
        this.#answer(reply, pool, { lengths, isFresh, probeOfPauseMs })
        if (reply.rest[0] === 1) return // the probe, if there is one, is on its way
      }
    } catch {
      for (const waiting of this.#waiting) decideWithout(waiting) // the member has noted and announced the failure
    }
    if (probeOfPauseMs !== undefined) member.gate.probed(probeOfPauseMs, false)
  }

  /** Denies what a pause of the provider denies. After one a single call goes first. */
  #passGate(): number | undefined {
    const { gate, pool } = this.#tools.member
    const nowMs = this.#tools.member.nowMs()
    const { untilMs } = gate.pause
    if (nowMs < untilMs && untilMs === pool?.pause.untilMs) return undefined // the script knows, and what lasts longer
    const closed = gate.closed(nowMs)
    if (closed) {
      this.#denyAll({ reason: 'paused', ...closed })
      this.#waiting = []
      return undefined
    }
    const probeOfPauseMs = gate.pass(nowMs)
    if (probeOfPauseMs === undefined) return undefined
    const others = this.#waiting.splice(1)
    const wait = gate.closed(nowMs)
    if (wait) for (const { answer } of others) answer(denied({ reason: 'paused', ...wait }))
    return probeOfPauseMs
  }

  #answer(
    { rest }: Reply,
    pool: PoolState,
    { lengths, ...grant }: { lengths: number[] } & Pick<Taken, 'isFresh' | 'probeOfPauseMs'>,
  ): void {
    const taken = takenFrom(pool, { tenant: this.#tenant, ledger: this.#tools.ledger, ...grant })
    let at = 0
    for (const [run, length] of lengths.entries()) {
      const [granted = 0, why = 0, retryAfterMs = 0] = rest.subarray(run * 3, run * 3 + 3)
      const refusal = granted < length ? refusalOf(why, retryAfterMs, pool.pause) : taken
      for (const end = at + granted; at < end; at++) this.#waiting[at]?.answer(taken)
      for (const end = at + length - granted; at < end; at++) this.#waiting[at]?.answer(refusal)
    }
  }

  #denyAll(refusal: Pick<Denied, 'reason' | 'retryAfterMs'> & Partial<Denied>): void {
    for (const { answer } of this.#waiting) answer(denied(refusal))
  }

  /** Runs of equal requests, in their order, as the script reads them. */
  #runs(): { text: string; lengths: number[] } {
    let text = ''
    const lengths: number[] = []
    let length = 0
    for (let at = 0; at < this.#waiting.length; at++) {
      const { request } = this.#waiting[at] as Waiting
      const next = this.#waiting[at + 1]?.request
      length += 1
      if (next !== undefined && isAlike(request, next)) continue
      text += `${length},${request.requests},${request.tokens},${request.priority === 'batch' ? 1 : 0};`
      lengths.push(length)
      length = 0
    }
    return { text, lengths }
  }
}

/** A grant of the call that saw `pool`. */
export function takenFrom(
  { incarnation, bucket, dayEndMs }: PoolState,
  { tenant, ...grant }: { tenant: Tenant | undefined } & Pick<Taken, 'ledger' | 'isFresh' | 'probeOfPauseMs'>,
): Taken {
  return { granted: true, degraded: false, charge: { incarnation, bucket, dayEndMs, tenant }, ...grant }
}

function isAlike(one: Request, other: Request): boolean {
  return one.requests === other.requests && one.tokens === other.tokens && one.priority === other.priority
}

export function denied(refusal: Pick<Denied, 'reason' | 'retryAfterMs'> & Partial<Denied>): Denied {
  return {
    granted: false,
    degraded: refusal.reason === 'unavailable',
    limitType: 'upstream',
    tenantRefused: false,
    ...refusal,
    retryAfterMs: Math.max(1, Math.ceil(refusal.retryAfterMs)),
  }
}

/** What a number of the script says: see RETURNS in lua/quota.lua. */
export function refusalOf(why: number, retryAfterMs: number, { limitType }: Pause): Denied {
  if (why === pausedOutcome) return denied({ reason: 'paused', limitType, retryAfterMs })
  const limit = limitTypes[(why - 1) % limitTypes.length]
  if (limit === undefined) throw new Error(`quota.lua refused for the unknown reason ${why}`)
  return denied({ reason: 'spent', limitType: limit, retryAfterMs, tenantRefused: why > limitTypes.length })
}
