import { limitTypes } from './ceilings.ts'
import type { FleetState } from './fleet-state.ts'
import type { Reply } from './scripts.ts'
import type { Shortfall } from './store.ts'

const pausedOutcome = 9

/** What became of one run of equal asks: the first `granted` of them were granted, the others refused alike. */
export interface RunOutcome {
  length: number
  granted: number
  refused: Shortfall | undefined
}

/** Reads what reserve.lua says about each run; nothing at all means that all were granted. */
export function outcomesOf(reply: Reply, state: FleetState, lengths: number[]): RunOutcome[] {
  return lengths.map((length, run) => {
    if (reply.rest.length === 0) return { length, granted: length, refused: undefined }
    const [granted = 0, why = 0, retryAfterMs = 0] = reply.rest.subarray(run * 3, run * 3 + 3)
    return { length, granted, refused: granted < length ? shortfall(why, retryAfterMs, state) : undefined }
  })
}

function shortfall(why: number, retryAfterMs: number, state: FleetState): Shortfall {
  const refusal = { granted: false, degraded: false, retryAfterMs } as const
  if (why === pausedOutcome)
    return { ...refusal, reason: 'paused', limitType: state.pause.limitType, tenantRefused: false }
  const limitType = limitTypes[(why - 1) % limitTypes.length]
  if (limitType === undefined) throw new Error(`reserve.lua refused for the unknown reason ${why}`)
  return { ...refusal, reason: 'spent', limitType, tenantRefused: why > limitTypes.length }
}
