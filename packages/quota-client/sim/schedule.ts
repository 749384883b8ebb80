import type { Priority, QuotaLimits } from '../src/types.ts'

/** What a deploy may change of an instance. */
export interface MemberConfiguration {
  limits: QuotaLimits
  safetyMargin: number
  transitMs: number
  windowMs: number
}

/** Calls of each member, the joining ones as well, from a random moment after `fromMs` on. */
export interface Load {
  id: string
  kind: 'single' | 'burst' | 'bucket-end' | 'presentation' | 'greedy' | 'usage'
  fromMs: number
  untilMs: number
  everyMs: number
  /** Reservations of one turn; of a presentation, its parts. */
  size: number
  tokens: readonly [least: number, most: number]
  priority: Priority
  tenant?: string
  /** Its calls wait in line for so long at most, and give up earlier in this share; 0 clients: calls of no client. */
  waits?: { mostMs: number; clients: number; aborted: number }
  /** Mean delay between the verdict and start(). */
  startsAfterMs: number
  /** Shares of the calls that settle with fewer tokens, with more, and that are released unsent. */
  less: number
  more: number
  released: number
}

interface Timed {
  atMs: number
}
interface Lasting extends Timed {
  forMs: number
}

export type Fault =
  | ({ type: 'cut'; members: string[] } & Lasting)
  | ({ type: 'lose'; members: string[]; what: 'requests' | 'replies' | 'heartbeats'; share: number } & Lasting)
  | ({ type: 'duplicate'; members: string[]; share: number; straggleMs: number } & Lasting)
  | ({ type: 'reorder'; members: string[]; straggleMs: number } & Lasting)
  | ({ type: 'slow'; members: string[]; delayMs: number; jitterMs: number } & Lasting)
  | ({ type: 'hang' } & Lasting)
  | ({ type: 'die'; data: 'kept' | 'lost' | 'rolled back'; lostMs: number; clockStepMs: number } & Lasting)
  /** A fails over to B, and later B to A, whose process never ended. A finds its own data or B's. */
  | ({ type: 'fail over and back'; data: 'own' | 'of B'; lostMs: number; downMs: number } & Lasting)
  | ({ type: 'flush' } & Timed)
  /** Only keys of the waiting lines are lost. */
  | ({ type: 'evict lines'; keys: string[] } & Timed)
  | ({ type: 'refuse writes'; error: string } & Lasting)
  | ({ type: 'step clock'; ms: number; withWalls: boolean } & Timed)
  | ({ type: 'drift clock'; share: number } & Lasting)
  | ({ type: 'drift member'; members: string[]; share: number } & Lasting)
  | ({ type: 'step wall'; members: string[]; ms: number } & Timed)
  | ({ type: 'stop' | 'pause machine'; members: string[] } & Lasting)
  | ({ type: 'crash' | 'close'; members: string[] } & Timed)
  | ({ type: 'join'; name: string; configuration?: MemberConfiguration } & Timed)

/** What a kind of schedule promises beside the limits. */
export interface Promises {
  /** No hold at all: nothing in it puts the past in doubt. */
  noHold: boolean
  /** The share of the requests per minute that has to be used from the second window on; 0: no promise. */
  used: number
  /** A grant within so long of the last fault: a hold and 5 s, and more where a kind says why; 0: no promise. */
  recoversInMs: number
  /** Overruns are charged before anything else is granted: no message is lost or late. */
  overrunsCharged: boolean
  /** Nothing disturbs the waiting lines: no call is overtaken, none starves, nothing is wasted. */
  inOrder: boolean
  /** Nothing cuts members off from the waiting lines, so each call in line knows when it starts. */
  informed: boolean
  /** Nor does anything move the starts that waiting calls were told. */
  toldRight: boolean
}

/** What a kind without faults promises at least. */
export const quietPromises: Readonly<Promises> = {
  noHold: true,
  used: 0,
  recoversInMs: 0,
  overrunsCharged: false,
  inOrder: false,
  informed: false,
  toldRight: false,
}

/** All that happens in one simulation. The same schedule always runs in the same way. */
export interface Schedule {
  seed: number
  kind: string
  /** Milliseconds since the epoch at which it starts, on a true clock. */
  startMs: number
  untilMs: number
  members: string[]
  configuration: MemberConfiguration
  tenants: Record<string, Partial<QuotaLimits>>
  loads: Load[]
  faults: Fault[]
  promises: Promises
}

/** Deviation that a window has room for, a charge's stay, and the length of a hold: as QUOTA.md gives them. */
export function lengths({ windowMs, transitMs }: MemberConfiguration) {
  const slackMs = windowMs / 240
  const ringMs = windowMs + transitMs + slackMs
  const bucketMs = ringMs / 240
  return {
    slackMs,
    ringMs,
    bucketMs,
    holdMs: windowMs * 1.03 + transitMs + slackMs + bucketMs,
    heartbeatMs: windowMs / 60,
  }
}

export function endOf(fault: Fault): number {
  const downMs = fault.type === 'fail over and back' ? 2 * fault.downMs : 0
  return fault.atMs + downMs + ('forMs' in fault ? fault.forMs : 0)
}

export function membersOf(fault: Fault): string[] {
  return 'members' in fault ? fault.members : []
}
