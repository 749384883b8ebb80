import { type Account, bucketsPerWindow } from './account.ts'
import type { Reply } from './scripts.ts'
import type { QuotaLimits, QuotaUsage } from './types.ts'
import { windowUsage } from './window-usage.ts'

type FourWindows = Pick<QuotaUsage, 'requests' | 'tokens'>

/** The four windows as usage.lua saw them. */
export function usageOfReply(reply: Reply, limits: QuotaLimits, windowMs: number): FourWindows {
  const { state, nowMs } = reply
  if (state === null) throw new Error('usage.lua always answers with a state')
  const [oldestRequests = 0, oldestTokens = 0] = reply.rest
  const leavesInMs = (bucket: number) =>
    bucket === 0 ? 0 : ((bucket + bucketsPerWindow + 1) * windowMs) / bucketsPerWindow - nowMs
  const dayLeftMs = state.dayEndMs - nowMs
  return {
    requests: {
      perMinute: windowUsage(state.window.requests, limits.rpm, leavesInMs(oldestRequests)),
      perDay: windowUsage(state.day.requests, limits.rpd, dayLeftMs),
    },
    tokens: {
      perMinute: windowUsage(state.window.tokens, limits.tpm, leavesInMs(oldestTokens)),
      perDay: windowUsage(state.day.tokens, limits.tpd, dayLeftMs),
    },
  }
}

/** The four windows of an account that was rolled on to `nowMs`. */
export function usageOfAccount(account: Account, limits: QuotaLimits, nowMs: number): FourWindows {
  const { window, day } = account
  const dayLeftMs = account.dayEndMs - nowMs
  return {
    requests: {
      perMinute: windowUsage(window.requests, limits.rpm, account.oldestLeavesInMs('requests', nowMs)),
      perDay: windowUsage(day.requests, limits.rpd, dayLeftMs),
    },
    tokens: {
      perMinute: windowUsage(window.tokens, limits.tpm, account.oldestLeavesInMs('tokens', nowMs)),
      perDay: windowUsage(day.tokens, limits.tpd, dayLeftMs),
    },
  }
}
