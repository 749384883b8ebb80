import { setTimeout as delay } from 'node:timers/promises'
import type { QuotaClient } from '../../src/index.ts'
import { type Admission, sharedClockMs } from './oracle.ts'

/** A ring that is hardly longer than its window, so that an oracle sees when it is too short. */
export const minute = { windowMs: 2400, transitMs: 150 }
export const windows = 2
export const patternLimits = {
  hammer: { rpm: 60, rpd: 1e9, tpm: 1e9, tpd: 1e11 },
  onOff: { rpm: 60, rpd: 1e9, tpm: 1e9, tpd: 1e11 },
  edge: { rpm: 60, rpd: 1e9, tpm: 1e9, tpd: 1e11 },
  tokens: { rpm: 1e9, rpd: 1e11, tpm: 200_000, tpd: 1e11 },
} as const
export type Pattern = keyof typeof patternLimits

/** When a process of this pattern asks: always, by turns at random, or only around the edges of the clock's windows. */
const asksNow: Record<Pattern, () => () => boolean> = {
  hammer: () => () => true,
  tokens: () => () => true,
  onOff: () => {
    let [on, untilMs] = [true, 0]
    return () => {
      if (sharedClockMs() > untilMs) [on, untilMs] = [!on, sharedClockMs() + 20 + Math.random() * 300]
      return on
    }
  },
  edge: () => () => {
    const phase = (sharedClockMs() % minute.windowMs) / minute.windowMs
    return phase < 0.08 || phase > 0.92
  },
}

/** Asks in several strands until `untilMs`, as the pattern says, and gives back what was admitted. */
export async function play(quota: QuotaClient, pattern: Pattern, untilMs: number): Promise<Admission[]> {
  const admissions: Admission[] = []
  const asks = asksNow[pattern]()
  const strand = async () => {
    while (sharedClockMs() < untilMs) {
      if (asks()) await askOnce(quota, pattern, admissions)
      await delay(1)
    }
  }
  await Promise.all(Array.from({ length: 8 }, strand))
  return admissions
}

async function askOnce(quota: QuotaClient, pattern: Pattern, admissions: Admission[]): Promise<void> {
  // Pareto-distributed, cut at 20 times the smallest, and known beforehand only as a bound up to a fifth above.
  const tokens = pattern === 'tokens' ? Math.floor(Math.min(10_000, 500 * (1 - Math.random()) ** (-1 / 1.2))) : 0
  const bound = Math.ceil(tokens * (1 + Math.random() * 0.2))
  const verdict = await quota.reserve({ requests: 1, tokens: bound, priority: 'interactive' })
  if (!verdict.granted) return
  if (Math.random() < 0.5) await delay(Math.random() * minute.transitMs) // as late as a grant may be used
  const startedMs = sharedClockMs()
  if (!verdict.reservation.start()) return
  admissions.push({ askedMs: startedMs, answeredMs: sharedClockMs(), requests: 1, tokens })
  setTimeout(() => verdict.reservation.settle(tokens), Math.random() * 40)
}
