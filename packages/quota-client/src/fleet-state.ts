import type { Amount } from './account.ts'
import { limitTypes } from './ceilings.ts'
import type { Shrinkage } from './shrinkage.ts'
import type { Pause } from './types.ts'

/** The shared account as one instance last saw it: the doubles that lua/account.lua keeps at its front. */
export interface FleetState {
  /** When this state was made, and when its last phase of restoring began: microseconds, taken as names. */
  birth: number
  epoch: number
  /** End of the phase in which instances keep to their shares until all have reported; 0 when there is none. */
  phaseEndsMs: number
  writes: number
  bucket: number
  window: Amount
  dayEndMs: number
  day: Amount
  pause: Pause
  shrinkage: Shrinkage
  instances: number
  /** Instances that were refused lately, and what they were granted lately, together. */
  hungry: number
  hungryUse: number
}

const fields = 22
export const stateBytes = fields * 8

/** The state at `offset`; null when it was never born. */
export function readFleetState(bytes: Buffer, offset: number): FleetState | null {
  const field = (number: number) => bytes.readDoubleLE(offset + (number - 1) * 8)
  if (field(1) === 0) return null
  return {
    birth: field(1),
    epoch: field(2),
    phaseEndsMs: field(3),
    writes: field(4),
    bucket: field(5),
    window: { requests: field(6), tokens: field(7) },
    dayEndMs: field(10),
    day: { requests: field(11), tokens: field(12) },
    pause: { untilMs: field(15), limitType: pauseType(field(16)) },
    shrinkage: { sinceMs: field(17), factor: field(18) },
    instances: field(19),
    hungry: field(20),
    hungryUse: field(21),
  }
}

/** The number by which the scripts know what a pause is for. */
export function pauseKind(limitType: Pause['limitType']): number {
  return limitType === 'upstream' ? limitTypes.length + 1 : limitTypes.indexOf(limitType) + 1
}

function pauseType(kind: number): Pause['limitType'] {
  return limitTypes[kind - 1] ?? 'upstream'
}
