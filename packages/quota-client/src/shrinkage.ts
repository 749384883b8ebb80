/** How far the limits of the minute are drawn in since the provider refused without saying for how long. */
export interface Shrinkage {
  sinceMs: number
  /** Share of the limits at `sinceMs`; 1 when they are whole. */
  factor: number
}

export const whole: Shrinkage = { sinceMs: 0, factor: 1 }
const shrinkBy = 0.8
const smallestFactor = 0.2
/** A fifth comes back in five windows: five minutes. Refusals of one volley within a sixth of a window count once. */
const recoveryWindows = 5
const volleyWindows = 1 / 6

/** The share of the limits in force now, 0.2 to 1: linear from the shrunk figure back to the whole. */
export function factorAt(shrinkage: Shrinkage, nowMs: number, windowMs: number): number {
  const recovered = ((1 - shrinkBy) * Math.max(0, nowMs - shrinkage.sinceMs)) / (recoveryWindows * windowMs)
  return Math.min(1, shrinkage.factor + recovered)
}

/** A fifth less than what is in force now. */
export function shrunk(shrinkage: Shrinkage, nowMs: number, windowMs: number): Shrinkage {
  if (shrinkage.factor < 1 && nowMs - shrinkage.sinceMs < windowMs * volleyWindows) return shrinkage
  return { sinceMs: nowMs, factor: Math.max(smallestFactor, factorAt(shrinkage, nowMs, windowMs) * shrinkBy) }
}

/** A limit under a factor: never less than one, so that a probe can always show that the provider serves again. */
export function shrinkLimit(limit: number, factor: number): number {
  return factor < 1 ? Math.max(Math.min(1, limit), Math.floor(limit * factor)) : limit
}

/** When a shrunk `limit` will again hold `amount` (≤ limit), in milliseconds from now. */
export function recoveredInMs(
  shrinkage: Shrinkage,
  at: { limit: number; amount: number; nowMs: number; windowMs: number },
): number {
  const missing = at.amount / at.limit - factorAt(shrinkage, at.nowMs, at.windowMs)
  return Math.ceil((missing * recoveryWindows * at.windowMs) / (1 - shrinkBy)) + 1
}
