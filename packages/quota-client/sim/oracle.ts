import type { HoldCause, Priority, QuotaLimits, Reservation, Verdict } from '../src/types.ts'
import type { Member } from './member.ts'
import type { Delivery, SentCall } from './network.ts'
import { lengths, type Schedule } from './schedule.ts'
import type { Answer } from './server.ts'
import type { VirtualTime } from './virtual-time.ts'

/** One started call, as the provider may have counted it. */
export interface CountedCall {
  order: number
  member: string
  /** '' is the pool. */
  tenant: string
  /** The provider counted it between these moments: the script ran, and the grant became too old to be started. */
  earliestMs: number
  latestMs: number
  requests: number
  estimate: number
  /** What it used, once that is known. */
  actual: number | undefined
  settledMs: number
  isReleased: boolean
  /** The date in the pool's zone by Redis's clock, and since when the day's use can be known by anybody. */
  date: string
  dayFromMs: Record<'pool' | 'tenant', number>
  limits: QuotaLimits
  windowMs: number
}

export interface Started {
  released(): void
  settled(tokens: number): void
}

/** A call that may wait in line, or, for the order of starts, a plain one. Times are true ones unless they say otherwise. */
export interface LineCall {
  member: Member
  priority: Priority
  /** '' for a call of no client. */
  client: string
  tenant: string | undefined
  requests: number
  atMs: number
  /** On the clock of its process, which alone measures how long it waits. */
  processMs: number
  /** 0: it does not wait. */
  maxWaitMs: number
  told: { atMs: number; startsMs: number }[]
  /** When its caller had an answer, or left. */
  ended: { atMs: number; processMs: number } | undefined
  /** Which run of the script granted it, and when that was. */
  grant: { order: number; atMs: number } | undefined
}

export interface SeenHold {
  cause: HoldCause
  atMs: number
  endsMs: number
  isCaused: boolean
}

interface Loss {
  atMs: number
  knowers: Map<string, Set<Member>>
  callsSince: Map<Member, number>
}

/** A member states what it knows of the day with the call after the one that shows it the loss; one more for good measure. */
const callsToState = 3
/** A member stays in force for a window after its heartbeat, less what clocks may drift. */
const heardShare = 0.97

/** Sees all that the provider, Redis and the callers see, and keeps it for the checks at the end. */
export class Oracle {
  readonly calls: CountedCall[] = []
  readonly grantedMs: number[] = []
  readonly holds: SeenHold[] = []
  /** When a reservation was decided that its caller must have given up by then. */
  readonly carriedOutLateMs: number[] = []
  readonly lineCalls: LineCall[] = []
  readonly unanswered = new Map<number, { member: Member; atMs: number }>()
  readonly #time: VirtualTime
  readonly #schedule: Schedule
  readonly #date: (ms: number) => string
  readonly #heard = new Map<Member, number>()
  readonly #inForce = new Map<number, { limits: QuotaLimits; windowMs: number }>()
  readonly #knowers = new Map<string, Set<Member>>([['', new Set()]])
  readonly #losses: Loss[] = []
  readonly #causes = new Set<HoldCause>()
  #requests = 0

  constructor(schedule: Schedule, time: VirtualTime, date: (ms: number) => string) {
    this.#schedule = schedule
    this.#time = time
    this.#date = date
  }

  executed(member: Member, { kind, sentMs }: SentCall, { executed, reply }: Answer): void {
    if (reply === undefined || reply.readDoubleLE(16) === 1 /* too late: nothing was done */) return
    const { transitMs } = member.configuration
    const isLate = executed.atMs > sentMs + transitMs + lengths(member.configuration).slackMs
    if (kind === 'reserve' && isLate && !this.#causes.has('clock')) this.carriedOutLateMs.push(executed.atMs)
    if (kind === 'heartbeat') this.#heard.set(member, executed.atMs)
    if (kind === 'leave') this.#heard.delete(member)
    if (kind === 'reserve') this.#inForce.set(executed.order, this.#limitsInForce(member))
    for (const { callsSince } of this.#losses) callsSince.set(member, (callsSince.get(member) ?? 0) + 1)
  }

  /** A fault after which the pool may be held for this cause, now or whenever the next member sees it. */
  expectHold(cause: HoldCause): void {
    this.#causes.add(cause)
  }

  /** The state is gone: the list of members, and the days' use but for what members remember. */
  stateLost(): void {
    this.#heard.clear()
    const knowers = new Map([...this.#knowers].map(([account, members]) => [account, new Set(members)]))
    this.#losses.push({ atMs: this.#time.nowMs, knowers, callsSince: new Map() })
  }

  /** The state is older than it was, or its clock another: who was heard lately is uncertain. */
  membersUncertain(): void {
    this.#heard.clear()
  }

  held(cause: HoldCause, endsMs: number): void {
    const isKnown = this.holds.some((hold) => hold.cause === cause && Math.abs(hold.endsMs - endsMs) < 1000)
    if (!isKnown) this.holds.push({ cause, atMs: this.#time.nowMs, endsMs, isCaused: this.#causes.has(cause) })
  }

  /** The returned function is told what became of it. */
  requested(call: Pick<LineCall, 'member' | 'priority' | 'client' | 'tenant' | 'requests' | 'maxWaitMs' | 'told'>) {
    const { member, maxWaitMs } = call
    const number = this.#requests++
    const { nowMs } = this.#time
    const processMs = member.process.monotonicMs()
    const record: LineCall = { ...call, atMs: nowMs, processMs, ended: undefined, grant: undefined }
    if (this.#schedule.loads.some(({ waits }) => waits)) this.lineCalls.push(record)
    if (maxWaitMs === 0) this.unanswered.set(number, { member, atMs: nowMs })
    return (verdict: Verdict | 'left') => {
      this.unanswered.delete(number)
      record.ended = { atMs: this.#time.nowMs, processMs: member.process.monotonicMs() }
      if (verdict === 'left' || !verdict.granted) return
      record.grant = member.connection.lastDelivery?.executed
      this.grantedMs.push(this.#time.nowMs)
    }
  }

  /** The member had a reply with this account's use. */
  knows(member: Member, tenant: string): void {
    for (const account of ['', tenant]) {
      const members = this.#knowers.get(account) ?? new Set()
      this.#knowers.set(account, members.add(member))
    }
  }

  started(grant: {
    member: Member
    delivery: Delivery
    part: Reservation
    tenant: string | undefined
    /** The share of the limits that it may use. */
    margin: number
  }): Started {
    const { member, delivery, part, tenant = '', margin } = grant
    const { configuration } = member
    const { executed } = delivery
    const inForce = this.#inForce.get(executed.order)
    if (inForce === undefined) throw new Error(`${member.name} was granted a call by a reply to no reservation`)
    const call: CountedCall = {
      order: executed.order,
      member: member.name,
      tenant,
      earliestMs: executed.atMs,
      latestMs: Math.max(delivery.sentMs + configuration.transitMs, this.#time.nowMs),
      requests: part.requests,
      estimate: part.tokens,
      actual: undefined,
      settledMs: Number.POSITIVE_INFINITY,
      isReleased: false,
      date: this.#date(executed.redisMs),
      dayFromMs: { pool: this.#dayKnownFrom('', executed.atMs), tenant: this.#dayKnownFrom(tenant, executed.atMs) },
      limits: scale(inForce.limits, margin),
      windowMs: inForce.windowMs,
    }
    this.calls.push(call)
    return {
      released() {
        call.isReleased = true
      },
      settled: (tokens) => {
        call.actual = tokens
        call.settledMs = this.#time.nowMs
      },
    }
  }

  tenantLimits(tenant: string): QuotaLimits {
    const { rpm = Infinity, rpd = Infinity, tpm = Infinity, tpd = Infinity } = this.#schedule.tenants[tenant] ?? {}
    return { rpm, rpd, tpm, tpd }
  }

  /** The smallest limits and the longest window of the caller and of all that were surely heard within a window. */
  #limitsInForce(caller: Member): { limits: QuotaLimits; windowMs: number } {
    const inForce = { limits: { ...caller.configuration.limits }, windowMs: caller.configuration.windowMs }
    for (const [{ configuration }, heardMs] of this.#heard) {
      if (this.#time.nowMs - heardMs > configuration.windowMs * heardShare) continue
      inForce.windowMs = Math.max(inForce.windowMs, configuration.windowMs)
      for (const type of ['rpm', 'rpd', 'tpm', 'tpd'] as const)
        inForce.limits[type] = Math.min(inForce.limits[type], configuration.limits[type])
    }
    return inForce
  }

  /** The last loss since which nobody who knew this account's use could state it; what was used before counts no more. */
  #dayKnownFrom(account: string, atMs: number): number {
    let fromMs = 0
    for (const loss of this.#losses) {
      if (loss.atMs > atMs) continue
      const knowers = [...(loss.knowers.get(account) ?? [])]
      if (!knowers.some((member) => (loss.callsSince.get(member) ?? 0) >= callsToState)) fromMs = loss.atMs
    }
    return fromMs
  }
}

function scale({ rpm, rpd, tpm, tpd }: QuotaLimits, share: number): QuotaLimits {
  const part = (limit: number) => Math.floor(limit * share)
  return { rpm: part(rpm), rpd: part(rpd), tpm: part(tpm), tpd: part(tpd) }
}
