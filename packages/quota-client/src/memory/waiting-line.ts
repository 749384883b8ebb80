import { cycleMs } from '../core/account.ts'
import type { Denied, Request, Settings, Taken, Wait } from '../core/store.ts'
import type { Priority, Runtime, Timer } from '../types.ts'

interface Ticket {
  request: Request & { wait: Wait }
  answer: (decision: Taken | Denied) => void
  round: number
  givesUpMs: number
  /** As its caller was last told; the time is of the monotonic clock. */
  told: { startsMs: number; position: number } | undefined
  stopListening: () => void
}

/** What the line needs of the store. */
export interface Grants {
  /** Decides as if nobody waited; takes nothing when it refuses. */
  decide(request: Request): Taken | Denied
  /** Why and for how long a call waits that so many calls of its size are to start before; undefined: it may start. */
  waitOf(request: Request, before: number): Denied | undefined
  /** The limit of requests in a window, as it is shrunk now. */
  rpm(): number
}

/** One start in so many is a batch call's, so that batch calls do not starve. */
const batchEvery = 20

/**
 * The waiting lines of one process, in the order of lua/line.lua: interactive calls before batch calls, clients in turn, batch
 * calls as their credit allows. A call that its own tenant's limit blocks keeps its place, and those after it may start.
 */
export class WaitingLine {
  readonly #grants: Grants
  readonly #settings: Settings
  readonly #runtime: Runtime
  readonly #lines: Record<Priority, Ticket[]> = { interactive: [], batch: [] }
  readonly #round = { interactive: 0, batch: 0 }
  readonly #lastRounds = new Map<string, number>()
  #sinceBatch = 0
  #credit = { starts: 0, atMs: Number.NEGATIVE_INFINITY }
  #timer: Timer | undefined
  #isAnnouncing = false

  constructor(grants: Grants, settings: Settings, runtime: Runtime) {
    this.#grants = grants
    this.#settings = settings
    this.#runtime = runtime
  }

  length(priority: Priority): number {
    return this.#lines[priority].length
  }

  /** Whether a call that does not wait would overtake one that does. */
  isBehind(priority: Priority): boolean {
    const { interactive, batch } = this.#lines
    return interactive.length > 0 || (priority === 'batch' && batch.length > 0)
  }

  /** Takes a call into line, or refuses it when it would wait for too long. */
  join(request: Request & { wait: Wait }, answer: Ticket['answer']): void {
    const { priority, wait } = request
    const line = this.#lines[priority]
    const name = `${priority} ${wait.client}`
    const last = this.#lastRounds.get(name) ?? -1
    const round = Math.max(this.#round[priority], last + 1)
    const after = line.findIndex((other) => other.round > round)
    const rank = after < 0 ? line.length : after
    const refusal = this.#tooLong(request, rank) ?? this.#tooMany(request)
    if (refusal) {
      answer(refusal)
      return
    }
    if (wait.client !== '') this.#lastRounds.set(name, round)
    const onAbort = () => {
      this.#leave(ticket)
      this.advance()
    }
    const givesUpMs = this.#runtime.monotonicMs() + wait.maxWaitMs
    const stopListening = () => wait.signal?.removeEventListener('abort', onAbort)
    const ticket: Ticket = { request, answer, round, givesUpMs, told: undefined, stopListening }
    wait.signal?.addEventListener('abort', onAbort, { once: true })
    line.splice(rank, 0, ticket)
    this.#announceSoon()
  }

  /** Starts all whose turn it is, and tells the others when theirs comes. */
  advance(): void {
    const { interactive, batch } = this.#lines
    if (interactive.length + batch.length === 0) return
    const blocked = new Set<Ticket>()
    const next = (line: Ticket[]) => line.find((ticket) => !blocked.has(ticket))
    for (;;) {
      const [first, firstBatch] = [next(interactive), next(batch)]
      const isTurnOfBatch = firstBatch && this.#sinceBatch >= batchEvery - 1 && this.#creditFor(firstBatch)
      const ticket = (isTurnOfBatch || !first) && firstBatch ? firstBatch : first
      if (ticket === undefined || (ticket === firstBatch && !this.#creditFor(ticket))) break
      const decision = this.#grants.decide(ticket.request)
      if (decision.granted) this.#start(ticket, decision)
      else if (decision.tenantRefused) blocked.add(ticket)
      else break
    }
    this.#announceSoon()
  }

  close(): void {
    this.#timer?.cancel()
    const refusal: Denied = { ...spent, reason: 'unavailable', limitType: 'upstream', retryAfterMs: 1000 }
    for (const ticket of [...this.#lines.interactive, ...this.#lines.batch]) {
      this.#leave(ticket)
      ticket.answer(refusal)
    }
  }

  /** Why and for how long a call waits that has `rank` calls of its line before it. */
  waitAt(request: Request, rank: number): Denied | undefined {
    const wait = this.#grants.waitOf(request, this.#startsBefore(request.priority, rank))
    if (request.priority === 'interactive') return wait
    const creditMs = ((rank + 1 - this.#creditNow()) * cycleMs(this.#settings.ringMs)) / this.#grants.rpm()
    if (creditMs <= (wait?.retryAfterMs ?? 0)) return wait
    return { ...spent, ...wait, retryAfterMs: Math.ceil(creditMs) }
  }

  #startsBefore(priority: Priority, rank: number): number {
    const { interactive, batch } = this.#lines
    if (priority === 'batch') return interactive.length + rank
    const since = Math.min(this.#sinceBatch, batchEvery - 1)
    return rank + Math.min(batch.length, Math.floor((rank + since) / (batchEvery - 1)))
  }

  #tooLong(request: Request & { wait: Wait }, rank: number): Denied | undefined {
    const wait = this.waitAt(request, rank)
    return wait && wait.retryAfterMs > request.wait.maxWaitMs ? wait : undefined
  }

  #tooMany(request: Request): Denied | undefined {
    const { interactive, batch } = this.#lines
    const longest = this.#settings.longestQueue * (request.priority === 'batch' ? 0.9 : 1)
    if (interactive.length + batch.length < longest) return undefined
    return this.waitAt(request, this.length(request.priority)) ?? { ...spent, retryAfterMs: 1 }
  }

  #start(ticket: Ticket, taken: Taken): void {
    const { priority, requests } = ticket.request
    this.#leave(ticket)
    this.#round[priority] = Math.max(this.#round[priority], ticket.round)
    this.#sinceBatch = priority === 'batch' ? 0 : this.#sinceBatch + 1
    if (priority === 'batch') this.#credit = { starts: this.#creditNow() - requests, atMs: this.#runtime.monotonicMs() }
    ticket.answer(taken)
  }

  #leave(ticket: Ticket): void {
    const line = this.#lines[ticket.request.priority]
    const at = line.indexOf(ticket)
    if (at >= 0) line.splice(at, 1)
    ticket.stopListening()
    if (!this.isBehind('batch')) this.#lastRounds.clear()
  }

  #creditFor({ request }: Ticket): boolean {
    return this.#creditNow() >= Math.min(request.requests, this.#mostCredit())
  }

  /** Batch starts that the line may make now; see lua/line.lua. */
  #creditNow(): number {
    const { starts, atMs } = this.#credit
    const grown = ((this.#runtime.monotonicMs() - atMs) * this.#grants.rpm()) / cycleMs(this.#settings.ringMs)
    return Math.min(this.#mostCredit(), starts + grown)
  }

  #mostCredit(): number {
    return Math.max(1, this.#grants.rpm() / 60)
  }

  /** Once for all that a turn of the event loop changes: it goes through the whole line. */
  #announceSoon(): void {
    if (this.#isAnnouncing) return
    this.#isAnnouncing = true
    this.#runtime.defer(() => {
      this.#isAnnouncing = false
      this.#announce()
    })
  }

  /** Tells all where they stand, refuses those that would wait for too long, and comes back when the first may start. */
  #announce(): void {
    const nowMs = this.#runtime.monotonicMs()
    const heartbeatMs = this.#settings.windowMs / 60
    let nextMs = Number.POSITIVE_INFINITY
    for (const priority of ['interactive', 'batch'] as const)
      for (const [rank, ticket] of [...this.#lines[priority]].entries()) {
        const wait = this.waitAt(ticket.request, rank)
        const startsInMs = wait?.retryAfterMs ?? 0
        const position = this.#startsBefore(priority, rank) + 1
        if (wait && nowMs + startsInMs > ticket.givesUpMs) {
          this.#leave(ticket)
          ticket.answer(wait)
          continue
        }
        nextMs = Math.min(nextMs, Math.max(1, startsInMs))
        const { told } = ticket
        const hasMoved = told === undefined || Math.abs(told.startsMs - nowMs - startsInMs) > heartbeatMs
        if (!hasMoved && told?.position === position) continue
        ticket.told = { startsMs: nowMs + startsInMs, position }
        ticket.request.wait.onWaiting?.({ startsInMs, position })
      }
    this.#timer?.cancel()
    if (nextMs < Number.POSITIVE_INFINITY) this.#timer = this.#runtime.setTimer(() => this.advance(), nextMs)
  }
}

const spent: Omit<Denied, 'retryAfterMs'> = {
  granted: false,
  degraded: false,
  reason: 'spent',
  limitType: 'rpm',
  tenantRefused: false,
}
