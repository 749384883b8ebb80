import type { GeminiError } from '@knowalledge/gemini'
import type { QuotaClient } from '@knowalledge/quota-client'
import type { HttpError } from '@knowalledge/service-kit'
import { geminiFailure, quotaRefusal } from './failures.ts'

/** How long nobody asks after a 429 that waiting will not cure: spent credits, a tier without access. */
const pauseWhenTerminalMs = 60_000

/** Turns Gemini's 429 into a pause that the whole fleet sees, and into what this client is told. */
export async function pauseFleet(quota: QuotaClient, error: GeminiError): Promise<HttpError> {
  const { limitType = 'upstream', delayMs, untilDayEnds, terminal } = error.pause ?? {}
  const pauseMs = terminal ? pauseWhenTerminalMs : untilDayEnds ? undefined : delayMs
  // Without a delay the client knows best: a day's limit until the day ends, another one shortly, and lower after it.
  await quota.pause({ limitType, untilMs: pauseMs === undefined ? undefined : Date.now() + pauseMs })
  if (terminal) return geminiFailure(error)
  const { pause } = await quota.usage()
  const retryAfterMs = pauseMs ?? Math.max(0, (pause?.untilMs ?? 0) - Date.now())
  return quotaRefusal({ reason: 'paused', limitType, limit: 0, retryAfterMs })
}
