import type { Request, Wait } from '../core/store.ts'
import type { Tenant } from '../types.ts'
import type { Answer } from './batch.ts'

/** A call that waits in line. Times are of the monotonic clock, in milliseconds. */
export interface Ticket {
  number: number
  /** As lua/line.lua reads it. */
  text: string
  request: Request & { wait: Wait }
  answer: Answer
  givesUpMs: number
  isInLine: boolean
  /** It was named in a call, and so may be in line although no reply says so. */
  wasNamed: boolean
  /** When it will start, as far as is known; when it may join the line again, while its tenant's limit blocks it. */
  startsMs: number
  position: number
  blockedUntilMs: number
  checkedMs: number
  stopListening: () => void
}

/** The tickets of one tenant, or of none: each call of the script is about one group. */
export interface Group {
  id: number
  tenant: Tenant | undefined
  tickets: Map<number, Ticket>
  /** Given up, and not yet known to have left the line. */
  gone: Map<number, Ticket>
  isCalling: boolean
  /** Something was to be said while a call was under way. */
  callsAgain: boolean
}

/** Tickets that one call names: those that are to join, those that start first, and some of the others in turn. */
const namedPerCall = { joining: 500, first: 20, others: 30 }

/** The tickets of a group that its next call names. */
export function namedIn({ tickets }: Group, nowMs: number): Ticket[] {
  const joining: Ticket[] = []
  const inLine: Ticket[] = []
  for (const ticket of tickets.values())
    if (ticket.isInLine) inLine.push(ticket)
    else if (ticket.blockedUntilMs <= nowMs) joining.push(ticket)
  const first = inLine.sort((one, other) => one.startsMs - other.startsMs).slice(0, namedPerCall.first)
  const others = inLine.slice(namedPerCall.first).sort((one, other) => one.checkedMs - other.checkedMs)
  return [...joining.slice(0, namedPerCall.joining), ...first, ...others.slice(0, namedPerCall.others)]
}

/** Those that its next call takes out of the line. */
export function goneIn({ gone }: Group): Ticket[] {
  return [...gone.values()].slice(0, namedPerCall.joining)
}

interface LineCall {
  /** How many tickets may be granted now. */
  most: number
  /** Most tickets in both lines. */
  longest: number
  gone: Ticket[]
  named: Ticket[]
  nowMs: number
}

/** What a call says of a group's tickets, as lua/call.lua reads it. */
export function lineText({ id }: Group, { most, longest, gone, named, nowMs }: LineCall): string {
  return JSON.stringify({
    group: id,
    most,
    longest,
    gone: gone.map(({ text, request }) => [text, lineOf(request)]),
    named: named.map(({ text, request, givesUpMs }) => [text, lineOf(request), givesUpMs - nowMs]),
  })
}

function lineOf({ priority }: Request): number {
  return priority === 'batch' ? 2 : 1
}
