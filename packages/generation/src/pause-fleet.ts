import type { GeminiError } from '@knowalledge/gemini'
import type { QuotaClient } from '@knowalledge/quota-client'
import type { HttpError } from '@knowalledge/service-kit'
import { geminiFailure, quotaRefusal } from './failures.ts'

/** How long nobody asks after a 429 that gives no usable delay, and after one that waiting will not cure. */
const pauseWithoutDelayMs = 5_000
const pauseWhenTerminalMs = 60_000

/** Turns Gemini's 429 into a pause that the whole fleet sees, and into what this client is told. */
export async function pauseFleet(quota: QuotaClient, error: GeminiError): Promise<HttpError> {
  const { limitType, delayMs, untilDayEnds, terminal } = error.pause ?? {
    limitType: 'upstream' as const,
    untilDayEnds: false,
    terminal: false,
  }
  const pauseMs = terminal
    ? pauseWhenTerminalMs
    : untilDayEnds
      ? (await quota.usage()).requests.perDay.resetsInMs
      : (delayMs ?? pauseWithoutDelayMs)
  await quota.pause({ limitType, untilMs: Date.now() + pauseMs })
  return terminal
    ? geminiFailure(error)
    : quotaRefusal({ reason: 'paused', limitType, limit: 0, retryAfterMs: pauseMs })
}
