import type { GeminiError } from '@knowalledge/gemini'
import type { Metrics } from '@knowalledge/metrics'
import type { HoldCause, LimitType, Refused, Tenant, Verdict } from '@knowalledge/quota-client'
import { type ErrorName, HttpError } from '@knowalledge/service-kit'

/** What a client is told when Gemini failed. Internals stay in `cause`, for the log. */
export function geminiFailure(error: GeminiError): HttpError {
  const [code, message] = geminiMessages[error.kind]
  return new HttpError(code, message, { cause: error })
}

const geminiMessages: Record<GeminiError['kind'], [ErrorName, string]> = {
  not_configured: [
    'gemini_not_configured',
    'The AI service is not set up: its Gemini API key is missing or not accepted. Tell the operator.',
  ],
  rate_limited: [
    'gemini_not_configured',
    'The Gemini project has no quota for this model: waiting will not help. Tell the operator.',
  ],
  rejected: [
    'gemini_bad_answer',
    'Gemini did not accept the request. Tell the operator: the configured model may be wrong.',
  ],
  blocked: [
    'content_blocked',
    "Gemini's safety filters refused this content. Put it in other words or choose something else.",
  ],
  malformed: ['gemini_bad_answer', 'Gemini gave an answer that cannot be used. Try again.'],
  unavailable: ['gemini_unavailable', 'Gemini cannot be reached right now. Try again in a minute.'],
  timeout: ['timeout', 'Gemini took too long to answer. Try again.'],
  cancelled: ['timeout', 'The request was given up before Gemini answered. Try again.'],
}

export function unusableAnswer(cause: unknown): HttpError {
  return new HttpError('gemini_bad_answer', 'Gemini gave an answer that cannot be used. Try again.', { cause })
}

export function tookTooLong(cause: unknown): HttpError {
  return new HttpError('timeout', 'It took too long to get an answer. Try again.', { cause })
}

const holdReasons: Record<HoldCause, string> = {
  empty: 'there is no record of the last minute yet',
  restart: 'the record of the last minute was restarted',
  clock: 'a clock was changed',
  configuration: 'the quota was configured anew',
}

/** What a client is told when the shared quota refuses. */
export function quotaRefusal(refused: Omit<Refused, 'granted' | 'degraded'>): HttpError {
  const { reason, limitType, limit, retryAfterMs, tenant, cause } = refused
  const whose = tenant === undefined ? {} : { tenant }
  const ofTenant = tenant === undefined ? '' : ` of ${tenant}`
  if (reason === 'too_large') {
    const message = `This request can never fit the quota${ofTenant}: ${limitText(limitType, limit)}.`
    return new HttpError('quota_exceeded', message, { fields: { limit_type: limitType, ...whose } })
  }
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000))
  const retry = {
    fields: { retry_after: `${seconds} ${seconds === 1 ? 'second' : 'seconds'}` },
    retryAfterSeconds: seconds,
  }
  if (reason === 'unavailable')
    return new HttpError(
      'quota_unavailable',
      `New answers are not available right now. Try again in ${seconds} s.`,
      retry,
    )
  if (reason === 'hold') {
    const message = `New answers are on hold for ${seconds} s: ${holdReasons[cause as HoldCause]}. Try again then.`
    return new HttpError('quota_unavailable', message, retry)
  }
  const why =
    limitType === 'upstream' || reason === 'paused'
      ? 'Gemini asked for a pause'
      : `${limitType.toUpperCase()} limit${ofTenant} exceeded (${limit} ${period(limitType)})`
  return new HttpError('quota_exceeded', why, {
    ...retry,
    fields: { limit_type: limitType, ...retry.fields, ...whose },
  })
}

/** A presentation whose new explanations exceed what batch calls may ever take at once. */
export function presentationTooLarge(asked: number, refused: Refused, tokensEach: number): HttpError {
  const perCall = refused.limitType.startsWith('tp') ? tokensEach : 1
  const fit = Math.floor(refused.limit / perCall)
  const { tenant } = refused
  const quota = `the quota${tenant === undefined ? '' : ` of ${tenant}`}`
  return new HttpError(
    'presentation_too_large',
    `focus asks for ${asked} new explanations at once, and at most ${fit} fit ${quota} (${limitText(refused.limitType, refused.limit)} for presentations). Ask for at most ${fit}.`,
    { fields: tenant === undefined ? {} : { tenant } },
  )
}

const refusals = new Set(['quota_exceeded', 'quota_unavailable', 'presentation_too_large'])

/** No quota was to be had; nothing is wrong with the question. */
export function isRefusal(error: unknown): boolean {
  return error instanceof HttpError && refusals.has(error.code)
}

/** A refusal by the limits of a tenant that this caller does not belong to. */
export function isOfAnotherTenant(error: unknown, own: Tenant | undefined): boolean {
  if (!(error instanceof HttpError)) return false
  const { tenant } = error.fields
  return tenant !== undefined && tenant !== own?.id
}

function limitText(limitType: Refused['limitType'], limit: number): string {
  const unit = limitType.startsWith('tp') ? 'tokens' : 'requests'
  return `${Math.floor(limit)} ${unit} ${limitType === 'upstream' ? '' : period(limitType)}`.trim()
}

function period(limitType: LimitType | 'upstream'): string {
  return limitType === 'rpd' || limitType === 'tpd' ? 'per day' : 'per minute'
}

/** Counts a refusal by a limit or a pause; a hold and an unavailable Redis have metrics of their own. */
export function countRefusal(metrics: Pick<Metrics, 'quotaExceeded'>, { reason, limitType }: Refused): void {
  if (reason !== 'hold' && reason !== 'unavailable') metrics.quotaExceeded(limitType)
}

/** A verdict in one word, for the log. */
export function quotaOutcome(verdict: Verdict): 'granted' | 'degraded' | 'refused' {
  if (!verdict.granted) return 'refused'
  return verdict.degraded ? 'degraded' : 'granted'
}
