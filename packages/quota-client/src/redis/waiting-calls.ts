import { limitTypes } from '../core/limits.ts'
import { type Denied, freshness, type Request, type Taken, type Wait } from '../core/store.ts'
import type { Tenant, Timer } from '../types.ts'
import { type Answer, type CallTools, denied, refusalOf, takenFrom, tenantKey, type Waiting } from './batch.ts'
import { type PoolState, pausedOutcome, status } from './layout.ts'
import type { Reply } from './script.ts'
import { type Group, goneIn, lineText, namedIn, type Ticket } from './tickets.ts'

interface Tools extends CallTools {
  /** For a call that the shared state cannot answer now: true when the outage budget has answered it. */
  decideWithout: (ticket: Waiting) => boolean
}

/**
 * The calls of one instance that wait in line. It names its tickets in calls of the script: a ticket that is not in line joins,
 * the others learn when they start, and those whose turn it is are granted. It calls when the first of them is to start, and
 * at least with each heartbeat, so a lost reply or a lost line loses nothing.
 */
export class WaitingCalls {
  readonly #tools: Tools
  readonly #groups = new Map<string, Group>()
  #numbers = 0
  #groupIds = 0
  #timer: Timer | undefined
  #timerMs = Number.POSITIVE_INFINITY
  #incarnation = 0

  constructor(tools: Tools) {
    this.#tools = tools
  }

  /** `tenant` has the limits that hold for it in the shared state. */
  add(request: Request & { wait: Wait }, tenant: Tenant | undefined, answer: Answer): void {
    const { member, runtime } = this.#tools
    const { requests, tokens, wait } = request
    const group = this.#groupOf(tenant)
    const number = ++this.#numbers
    // Padded, because tickets of one round stand in the order of their texts.
    const arrived = String(Math.floor(member.nowMs())).padStart(13, '0')
    const padded = String(number).padStart(10, '0')
    const nowMs = runtime.monotonicMs()
    const onAbort = () => this.#leave(group, ticket)
    const ticket: Ticket = {
      number,
      text: [arrived, member.id, padded, requests, tokens, group.id, wait.client].join(':'),
      request,
      answer,
      givesUpMs: nowMs + wait.maxWaitMs,
      isInLine: false,
      wasNamed: false,
      startsMs: nowMs,
      position: 0,
      blockedUntilMs: 0,
      checkedMs: 0,
      stopListening: () => wait.signal?.removeEventListener('abort', onAbort),
    }
    wait.signal?.addEventListener('abort', onAbort, { once: true })
    group.tickets.set(number, ticket)
    this.#callBy(nowMs)
  }

  /** Nobody waits any more. Resolves when the line knows it, if it can be told. */
  async close(): Promise<void> {
    const { heartbeatMs } = this.#tools.member
    for (const group of this.#groups.values()) {
      for (const ticket of group.tickets.values()) {
        this.#leave(group, ticket)
        ticket.answer(denied({ reason: 'unavailable', retryAfterMs: 2 * heartbeatMs }))
      }
      await this.#call(group)
    }
    this.#timer?.cancel()
  }

  #groupOf(tenant: Tenant | undefined): Group {
    const key = tenantKey(tenant)
    let group = this.#groups.get(key)
    if (group === undefined) {
      group = { id: ++this.#groupIds, tenant, tickets: new Map(), gone: new Map(), isCalling: false, callsAgain: false }
      this.#groups.set(key, group)
    }
    return group
  }

  #leave(group: Group, ticket: Ticket): void {
    if (!group.tickets.delete(ticket.number)) return
    ticket.stopListening()
    if (ticket.wasNamed) group.gone.set(ticket.number, ticket)
    this.#callBy(this.#tools.runtime.monotonicMs())
  }

  #finish(group: Group, ticket: Ticket, decision: Taken | Denied): void {
    group.tickets.delete(ticket.number)
    ticket.stopListening()
    ticket.answer(decision)
  }

  /** Calls at this time of the monotonic clock or earlier. */
  #callBy(atMs: number): void {
    const nowMs = this.#tools.runtime.monotonicMs()
    if (atMs >= this.#timerMs) return
    this.#timer?.cancel()
    this.#timerMs = atMs
    if (atMs <= nowMs) this.#tools.runtime.defer(() => this.#tick())
    else this.#timer = this.#tools.runtime.setTimer(() => this.#tick(), Math.ceil(atMs - nowMs))
  }

  #tick(): void {
    const { runtime, member } = this.#tools
    const nowMs = runtime.monotonicMs()
    this.#timer?.cancel()
    this.#timerMs = Number.POSITIVE_INFINITY
    for (const [key, group] of this.#groups) {
      for (const ticket of group.tickets.values()) this.#giveUpIfLate(group, ticket, nowMs)
      if (group.tickets.size + group.gone.size === 0 && !group.isCalling) this.#groups.delete(key)
      else void this.#call(group)
    }
    if (this.#groups.size === 0) return
    let nextMs = nowMs + member.heartbeatMs
    for (const { tickets } of this.#groups.values())
      for (const { givesUpMs } of tickets.values()) nextMs = Math.min(nextMs, givesUpMs)
    this.#callBy(Math.max(nextMs, nowMs + 1))
  }

  #giveUpIfLate(group: Group, ticket: Ticket, nowMs: number): void {
    const { member, decideWithout } = this.#tools
    const cause = member.unavailable
    if (cause !== undefined && decideWithout(ticket)) {
      this.#leave(group, ticket)
      return
    }
    if (nowMs < ticket.givesUpMs) return
    this.#leave(group, ticket)
    const isUnknown = cause !== undefined || !ticket.isInLine
    if (isUnknown)
      ticket.answer(denied({ reason: 'unavailable', ...(cause && { cause }), retryAfterMs: 5 * member.heartbeatMs }))
    else ticket.answer(denied({ reason: 'spent', limitType: 'rpm', retryAfterMs: ticket.startsMs - nowMs }))
  }

  async #call(group: Group): Promise<void> {
    const { member, runtime, settings } = this.#tools
    group.callsAgain = group.isCalling
    if (group.isCalling || member.unavailable !== undefined || !member.mayUseGrants()) return
    const nowMs = runtime.monotonicMs()
    const named = namedIn(group, nowMs)
    if (named.length + group.gone.size === 0) return
    group.isCalling = true
    for (const ticket of named) ticket.wasNamed = true
    const gone = goneIn(group)
    const isFresh = freshness(runtime, settings)
    const { gate } = member
    const most = gate.closed(member.nowMs()) ? 0 : gate.awaitsProbe(member.nowMs()) ? 1 : 1e9
    const line = lineText(group, { most, longest: settings.longestQueue, gone, named, nowMs })
    try {
      const reply = await member.call('reserve', { tenant: group.tenant, line })
      if (reply.pool !== undefined) {
        this.#learn(group, named, { reply, pool: reply.pool, isFresh })
        for (const { number } of gone) group.gone.delete(number)
      }
    } catch {
      // the member has noted and announced the failure; the tickets are named again
    }
    group.isCalling = false
    if (group.callsAgain) await this.#call(group)
  }

  #learn(
    group: Group,
    named: Ticket[],
    { reply, pool, isFresh }: { reply: Reply; pool: PoolState } & Pick<Taken, 'isFresh'>,
  ): void {
    const { member, runtime, ledger } = this.#tools
    const { rest } = reply
    const nowMs = runtime.monotonicMs()
    const mayUse = member.mayUseGrants()
    const { gate } = member
    const granted = rest.subarray(named.length * 3)
    const probeOfPauseMs = granted.length > 0 ? gate.pass(member.nowMs()) : undefined
    for (let at = 0; at < granted.length; at += 3) {
      const [number = 0, requests = 0, tokens = 0] = granted.subarray(at, at + 3)
      const taken = takenFrom(pool, { tenant: group.tenant, ledger, isFresh, probeOfPauseMs })
      const ticket = group.tickets.get(number)
      if (ticket && mayUse) this.#finish(group, ticket, taken)
      else if (ticket)
        ticket.isInLine = false // a clock has stepped: the grant is void
      else ledger.adjust(taken.charge, { requests: -requests, tokens: -tokens }) // it has given up, or was answered before
    }
    for (const [at, ticket] of named.entries()) {
      const [state = 0, waitMs = 0, before = 0] = rest.subarray(at * 3, at * 3 + 3)
      if (!group.tickets.has(ticket.number) || state < 0) continue
      ticket.checkedMs = nowMs
      ticket.isInLine = state === 0
      const startsMs = nowMs + waitMs
      const isTenants = state > limitTypes.length && state !== pausedOutcome
      if (ticket.isInLine) this.#moved(ticket, { startsMs, position: before + 1 })
      else if (isTenants && startsMs < ticket.givesUpMs) {
        ticket.blockedUntilMs = startsMs
        this.#moved(ticket, { startsMs, position: Math.max(1, ticket.position) })
      } else if (reply.status === status.hold)
        this.#finish(group, ticket, denied({ reason: 'hold', cause: pool.cause, retryAfterMs: waitMs }))
      else this.#finish(group, ticket, refusalOf(state, waitMs, pool.pause))
    }
    this.#refuseDuring(group, pool.pause)
    if (this.#incarnation !== pool.incarnation) this.#rejoin(pool.incarnation)
    for (const { startsMs } of group.tickets.values())
      this.#callBy(startsMs > nowMs ? startsMs : nowMs + member.heartbeatMs)
  }

  #moved(ticket: Ticket, place: { startsMs: number; position: number }): void {
    const { member, runtime } = this.#tools
    const isNew = ticket.position === 0 || ticket.position !== place.position
    const hasMoved = Math.abs(ticket.startsMs - place.startsMs) > member.heartbeatMs
    Object.assign(ticket, place)
    const startsInMs = Math.max(0, Math.ceil(place.startsMs - runtime.monotonicMs()))
    if (isNew || hasMoved) ticket.request.wait.onWaiting?.({ startsInMs, position: place.position })
  }

  /** A call names few of the tickets; of a pause that is too long for them all learn at once. */
  #refuseDuring(group: Group, pause: PoolState['pause']): void {
    const { member, runtime } = this.#tools
    const leftMs = pause.untilMs - member.nowMs()
    if (leftMs <= 0) return
    for (const ticket of group.tickets.values()) {
      if (ticket.givesUpMs >= runtime.monotonicMs() + leftMs) continue
      this.#leave(group, ticket)
      ticket.answer(refusalOf(pausedOutcome, leftMs, pause))
    }
  }

  /** In a new incarnation the line may be lost, or be an older one: all tickets are named again. */
  #rejoin(incarnation: number): void {
    if (this.#incarnation !== 0)
      for (const { tickets } of this.#groups.values()) for (const ticket of tickets.values()) ticket.isInLine = false
    this.#incarnation = incarnation
  }
}
