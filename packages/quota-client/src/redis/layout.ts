import { readFileSync } from 'node:fs'
import { type Amount, bucketsPerRing } from '../core/account.ts'
import { limitTypes } from '../core/limits.ts'
import type { HoldCause, Pause } from '../types.ts'

/** Changes with the list below: a state of another layout is held and begun anew. */
const layoutVersion = 2

/**
 * The doubles of one account, in the order in which lua/account.lua keeps and returns them. Those from `DAY_END` on
 * outlive a hold. Times are Redis's, in milliseconds since the epoch.
 */
const fields = [
  'LAYOUT',
  'INCARNATION', // microseconds, used as a name
  'OPEN', // nothing is granted before
  'CAUSE', // of the last hold
  'LAST', // time of the last write
  'SEQ', // writes in this incarnation
  'RING_MS',
  'BUCKET', // the current one
  'SUM_R', // requests and tokens charged in the ring and the current bucket
  'SUM_T',
  'CUR_R', // of these, in the current bucket
  'CUR_T',
  'DAY_R', // charged today, in this incarnation
  'DAY_T',
  'BASE_R', // an upper bound of what was charged today before it
  'BASE_T',
  'STATED', // 1: the bound is exact, or a member has stated one
  'DAY_END',
  'GAPS', // rings' lengths whose use a restart may have lost, counted up
  'PAUSE_UNTIL',
  'PAUSE_KIND',
  'SHRINK_SINCE',
  'SHRINK_FACTOR',
  'OTHERS', // members that the last heartbeat found beside its own, silent ones too
  'MEMBERS', // heard within a ring's length
  'RPM', // the smallest limits of the members; 0: none was heard
  'RPD',
  'TPM',
  'TPD',
  'CREDIT', // batch starts that the line may make, as of `CREDIT_AT`
  'CREDIT_AT',
  'SINCE_BATCH', // interactive starts from the line since the last one of a batch call
  'ROUND', // of the interactive line's last start
  'ROUND_BATCH',
] as const
const firstKept = 'DAY_END'
const offsets = Object.fromEntries(fields.map((name, at) => [name, at * 8])) as Record<(typeof fields)[number], number>

const holdCauses: readonly HoldCause[] = ['empty', 'restart', 'clock', 'configuration']
export const status = { decided: 0, late: 1, hold: 2 } as const
/** Why a run was refused, beside 1 to 8 for the limits of the pool and of the tenant. */
export const pausedOutcome = 9
export const accountBytes = fields.length * 8

/** What one call saw of the pool. */
export interface PoolState {
  incarnation: number
  writes: number
  openAtMs: number
  cause: HoldCause
  bucket: number
  ringMs: number
  window: Amount
  day: Amount
  dayEndMs: number
  pause: Pause
  members: number
  others: number
}

/** Reads the account at `offset`. */
export function readAccount(bytes: Buffer, offset: number): PoolState {
  const field = (name: keyof typeof offsets) => bytes.readDoubleLE(offset + offsets[name])
  return {
    incarnation: field('INCARNATION'),
    writes: field('SEQ'),
    openAtMs: field('OPEN'),
    cause: holdCauses[field('CAUSE') - 1] ?? 'empty',
    bucket: field('BUCKET'),
    ringMs: field('RING_MS'),
    window: { requests: field('SUM_R'), tokens: field('SUM_T') },
    day: { requests: field('BASE_R') + field('DAY_R'), tokens: field('BASE_T') + field('DAY_T') },
    dayEndMs: field('DAY_END'),
    pause: { untilMs: field('PAUSE_UNTIL'), limitType: limitTypes[field('PAUSE_KIND') - 1] ?? 'upstream' },
    members: field('MEMBERS'),
    others: field('OTHERS'),
  }
}

/** A pause as lua/call.lua reads it. */
export function pauseText({ limitType, untilMs }: Pause): string {
  const kind = limitType === 'upstream' ? limitTypes.length + 1 : limitTypes.indexOf(limitType) + 1
  return `${kind},${untilMs}`
}

/** The script as Redis runs it: the constants that it shares with this file, then the files of lua/. */
export function scriptText(): string {
  const read = (file: 'account' | 'line' | 'call' | 'quota') =>
    readFileSync(new URL(`../../lua/${file}.lua`, import.meta.url), 'utf8')
  return [constants(), read('account'), read('line'), read('call'), read('quota')].join('\n')
}

function constants(): string {
  const doubles = (count: number) => `'<${'d'.repeat(count)}'`
  const memberFields = 8
  return [
    `local ${fields.join(', ')} = ${fields.map((_, at) => at + 1).join(', ')}`,
    `local FIELDS, WIRE, KEPT_FIRST = ${fields.length}, ${doubles(fields.length)}, ${firstKept}`,
    `local MEMBER, MEMBER_BYTES = ${doubles(memberFields)}, ${memberFields * 8}`,
    `local LAYOUT_VERSION, SPAN, PAUSED = ${layoutVersion}, ${bucketsPerRing}, ${pausedOutcome}`,
    `local ${holdCauses.map((cause) => cause.toUpperCase()).join(', ')} = ${holdCauses.map((_, at) => at + 1).join(', ')}`,
    `local DECIDED, LATE, HOLD = ${status.decided}, ${status.late}, ${status.hold}`,
  ].join('\n')
}
