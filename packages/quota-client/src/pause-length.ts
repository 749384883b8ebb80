import type { Pause, PauseRequest } from './types.ts'

/** How a provider's 429 is taken: until when nobody asks, and whether the minute's limits shrink. See `QuotaClient.pause`. */
export function pauseLength(
  request: PauseRequest,
  at: { nowMs: number; dayEndMs: number; windowMs: number },
): { pause: Pause; shrinks: boolean } {
  const { limitType, untilMs } = request
  if (untilMs !== undefined) return { pause: { limitType, untilMs }, shrinks: false }
  if (limitType === 'rpd' || limitType === 'tpd') return { pause: { limitType, untilMs: at.dayEndMs }, shrinks: false }
  return { pause: { limitType, untilMs: at.nowMs + at.windowMs / 12 }, shrinks: true }
}
