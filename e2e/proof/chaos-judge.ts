import type { Fleet } from './fleet.ts'
import { callsDuringHolds, type HoldSpan, heldSeconds } from './holds.ts'
import { commonRows, disturbances, poolCount } from './invariant.ts'
import type { Tally } from './load.ts'
import { readLogs } from './logs.ts'
import { mostOfAnyModel, overLimit } from './oracle.ts'
import type { Outcome } from './part.ts'
import type { healthyAfter } from './recovery.ts'
import { figure } from './report.ts'
import type { Played } from './stage.ts'

const stopWithinMs = 10_000

export interface Seen {
  quota: { limit: number; windowMs: number }
  /** The longest that any configuration allows. */
  transitMs: number
  tally: Tally
  played: Played
  recovery: Awaited<ReturnType<typeof healthyAfter>>
  holds: readonly HoldSpan[]
  /** From when to when faults were played. */
  fromMs: number
  untilMs: number
}

/** What became of each promise through all faults. */
export async function judge(fleet: Fleet, seen: Seen): Promise<Outcome> {
  const { quota, transitMs, tally, played, recovery, holds, fromMs, untilMs } = seen
  const calls = await fleet.emulator.arrivals()
  const times = calls.map(({ atMs }) => atMs)
  const { refused } = await fleet.emulator.counters()
  const refusals = refused.rpm + refused.inputTpm + refused.rpd
  const most = mostOfAnyModel(calls, quota.windowMs)
  const logs = readLogs(fleet)
  const duringHolds = callsDuringHolds(calls, holds, 2 * transitMs)
  const healthyWithinMs = holdMs(quota.windowMs, transitMs) + 5_000
  const used = times.filter((atMs) => atMs >= fromMs && atMs <= untilMs).length
  const { counts, complaints, longestStopMs } = played
  return {
    rows: [
      {
        promise: 'over-limit calls through all faults',
        asked: '0 refused by Gemini',
        measured: `${refusals} of ${figure(times.length)}`,
        kept: refusals === 0,
      },
      // Also those that a fault made fail: they reached Gemini.
      {
        promise: 'calls of each model in any window',
        asked: `≤ ${quota.limit}`,
        measured: `${most} at most`,
        kept: most <= quota.limit,
      },
      ...played.smallerLimits.map(({ limit, fromMs, untilMs }) => {
        const within = calls.filter(({ atMs }) => atMs >= fromMs && atMs <= untilMs)
        const most = mostOfAnyModel(within, quota.windowMs)
        return {
          promise: 'calls of each model in any window when a rolling deploy has made the limit smaller',
          asked: `≤ ${limit}`,
          measured: `${most} at most, of ${within.length}`,
          kept: most <= limit,
        }
      }),
      {
        promise: 'calls during a hold',
        asked: '0',
        measured: `${duringHolds.length} in ${holds.length} holds`,
        kept: duringHolds.length === 0,
      },
      ...commonRows(tally, logs.forbidden),
      {
        promise: 'all healthy after the last fault: a hold and 5 s',
        asked: `≤ ${(healthyWithinMs / 1000).toFixed(1)} s`,
        measured: `${(recovery.ms / 1000).toFixed(1)} s`,
        kept: recovery.missing.length === 0 && recovery.ms <= healthyWithinMs,
      },
      {
        promise: 'SIGTERM to the end, with code 0',
        asked: `≤ ${stopWithinMs / 1000} s`,
        measured: `${(longestStopMs / 1000).toFixed(1)} s at most, ${complaints.length} others`,
        kept: complaints.length === 0 && longestStopMs <= stopWithinMs,
      },
      {
        promise: 'faults',
        asked: '',
        measured: `${figure([...counts.values()].reduce((a, b) => a + b, 0))} of ${counts.size} kinds; stopped between grant and call: ${played.stoppedAtGrant}`,
        kept: undefined,
      },
      disturbances(tally, logs),
      {
        promise: 'quota of all models used through all faults',
        asked: '',
        measured: `${figure((100 * used * quota.windowMs) / (poolCount * quota.limit * (untilMs - fromMs)))} % in ${figure((untilMs - fromMs) / 1000)} s`,
        kept: undefined,
      },
      {
        promise: 'on hold',
        asked: '',
        measured: [...heldSeconds(holds)].map(([cause, seconds]) => `${cause} ${seconds.toFixed(1)} s`).join(', '),
        kept: undefined,
      },
      {
        promise: 'no quota without Redis or during a hold',
        asked: '',
        measured: `${figure(tally.replies.get('503 quota_unavailable') ?? 0)} × 503 quota_unavailable with Retry-After`,
        kept: undefined,
      },
      {
        promise: 'in flight at a gateway when it was SIGKILLed',
        asked: '',
        measured: `${tally.lostWithGateway}; gone to another gateway: ${tally.retriedElsewhere}`,
        kept: undefined,
      },
    ],
    evidence: {
      'over the limit': overLimit(calls, { ...quota, fromMs }),
      'calls during a hold': [...duringHolds],
      'broken answers': tally.broken,
      'log lines': logs.forbidden,
      'not healthy': recovery.missing,
      'ended badly': complaints,
    },
  }
}

/** The ring (the window, the transit, a slack) with 3 % for clocks, and one bucket: packages/quota-client/README.md, written down again. */
export function holdMs(windowMs: number, transitMs: number): number {
  const ringMs = windowMs + transitMs + Math.max(20, windowMs / 240)
  return 1.03 * ringMs + ringMs / 240
}
